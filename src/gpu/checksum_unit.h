// How one warp finds the CRC32C remainder of one unit: the part of a lane, in plain C++, which runs
// on the host as on the GPU. docs/gpu.md says it in words.
//
// The unit is rows of 32 aligned words, a word a lane; the last row ends with the word that holds
// the last byte, and what is missing from the first row is zero, as leading zeros change nothing.
// Of the first and the last word only the bytes that are the unit's are read. A lane takes the
// remainder of its words as if the others' were zero: from row to row its state is shifted by a
// row, by tables. In the end each lane shifts its own to the end of the unit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "src/base/crc32c.h"
#include "src/gpu/launch.h"

namespace sluice {

inline constexpr std::uint32_t kWordBytes = sizeof(std::uint32_t);
inline constexpr std::uint32_t kRowBytes = kLanes * kWordBytes;
inline constexpr std::uint32_t kRowPower = 7;  // kRowBytes is two to that.
static_assert(1u << kRowPower == kRowBytes);
inline constexpr std::uint32_t kRowsInFlight = 8;  // Words of a lane that are read at a time.

// A state is shifted by a row in groups of its bits: an entry for each value of each group.
inline constexpr std::uint32_t kGroupBits = 5;
inline constexpr std::uint32_t kGroupValues = 1u << kGroupBits;
inline constexpr std::uint32_t kEntries = 32 / kGroupBits * kGroupValues + (1u << 32 % kGroupBits);
inline constexpr std::uint32_t kPowers = 31;  // Of two, of which shifts are composed.

// The same for all launches.
struct ChecksumTables {
  std::uint32_t row[kEntries];        // What each value of each group becomes.
  std::uint32_t power[kPowers * 32];  // What each bit becomes when 1, 2, 4, ... bytes follow.
  std::uint32_t to_end[kRowBytes];    // Factors: a shift by kRowBytes, and a byte less in each.
};

constexpr ChecksumTables checksum_tables() {
  constexpr std::array<std::uint32_t, 64> kShifts = crc32c_shifts();
  ChecksumTables tables{};
  for (std::uint32_t i = 0; i < kPowers; ++i) {
    std::uint32_t image = kShifts[i];
    for (std::uint32_t bit = 32; bit-- > 0;) {  // From the lowest power of x to the highest.
      tables.power[i * 32 + bit] = image;
      image = (image >> 1) ^ ((image & 1) != 0 ? kCrc32cGenerator : 0);
    }
  }
  for (std::uint32_t i = 0; i < kEntries; ++i) {
    const std::uint32_t value = i % kGroupValues;
    for (std::uint32_t bit = 0; bit < kGroupBits; ++bit) {
      const std::uint32_t state_bit = i / kGroupValues * kGroupBits + bit;
      if ((value >> bit & 1) != 0) tables.row[i] ^= tables.power[kRowPower * 32 + state_bit];
    }
  }
  std::uint32_t factor = kShifts[0];
  for (std::uint32_t i = kRowBytes; i-- > 0;) {
    tables.to_end[i] = factor;
    factor = crc32c_multiply(factor, kShifts[0]);
  }
  return tables;
}

// The tables as a block has them in shared memory: each lane has its own entries of `row`, in the
// bank of its number, so that lanes never wait for each other.
struct BlockTables {
  std::uint32_t row[kEntries * kLanes];
  std::uint32_t power[kPowers * 32];
  std::uint32_t to_end[kRowBytes];
};

// What one thread of a block copies, each word to so many places. The number of rounds is a
// constant, so that reads do not wait for the writes before them.
template <std::uint32_t kCopies, std::uint32_t kCount>
constexpr void fill(std::uint32_t (&to)[kCount * kCopies], const std::uint32_t (&from)[kCount],
                    std::uint32_t thread) {
  for (std::uint32_t first = 0; first < kCount * kCopies; first += kLaunchThreads) {
    const std::uint32_t i = first + thread;
    if (i < kCount * kCopies) to[i] = from[i / kCopies];
  }
}

constexpr void fill_tables(BlockTables& to, const ChecksumTables& from, std::uint32_t thread) {
  fill<kLanes>(to.row, from.row, thread);
  fill<1>(to.power, from.power, thread);
  fill<1>(to.to_end, from.to_end, thread);
}

// Bytes as the aligned words that hold them.
struct UnitWords {
  const std::uint32_t* words;
  const unsigned char* bytes;  // The unit's, which begin in the first word and end in the last.
  std::uint32_t length;
  std::uint32_t count;  // Of words; 0 only if there are no bytes.
  std::uint32_t head;   // Bytes of the first word that are not ours,
  std::uint32_t tail;   // and of the last.
};

// Of the bytes at `from`, which begin `head` into the first of these words.
constexpr UnitWords words_of(const std::uint32_t* words, std::uint32_t head,
                             const unsigned char* from, std::uint32_t length) {
  const std::uint32_t count = (head + length + kWordBytes - 1) / kWordBytes;
  return {words, from, length, count, head, count * kWordBytes - head - length};
}

// The first word and the last, zero where bytes are not ours.
constexpr std::uint32_t first_word(const UnitWords& unit) {
  std::uint32_t word = 0;
  for (std::uint32_t i = unit.head; i < kWordBytes && i - unit.head < unit.length; ++i) {
    word |= std::uint32_t{unit.bytes[i - unit.head]} << i * 8;
  }
  return word;
}

constexpr std::uint32_t last_word(const UnitWords& unit) {
  if (unit.count <= 1) return first_word(unit);
  const std::uint32_t ours = kWordBytes - unit.tail;
  std::uint32_t word = 0;
  for (std::uint32_t i = 0; i < ours; ++i) {
    word |= std::uint32_t{unit.bytes[unit.length - ours + i]} << i * 8;
  }
  return word;
}

// How many words lie before the last.
constexpr std::uint32_t before_last(const UnitWords& unit) {
  return unit.count == 0 ? 0 : unit.count - 1;
}

// A lane's words of kRowsInFlight rows.
struct Words {
  std::uint32_t word[kRowsInFlight];
};

// Of `value`'s bits those from `bit` on, the lowest of them put at `to`.
constexpr std::uint32_t moved(std::uint32_t value, std::uint32_t bit, std::uint32_t to) {
  return bit < to ? value << (to - bit) : value >> (bit - to);
}

// Places are counted in bytes, as an address is: a shift, a mask with the lane put in, and the read
// itself are then all that a group takes.
constexpr std::uint32_t next_row(std::uint32_t state, const BlockTables& tables,
                                 std::uint32_t lane) {
  std::uint32_t next = 0;
  for (std::uint32_t group = 0; group * kGroupBits < 32; ++group) {
    const std::uint32_t value = moved(state, group * kGroupBits, kRowPower) & (kGroupValues - 1)
                                                                                  << kRowPower;
    next ^= tables.row[group * kGroupValues * kLanes + (value | lane * kWordBytes) / kWordBytes];
  }
  return next;
}

// A fold and no loop: an index that is not constant would put the words into memory.
template <std::size_t... kRow>
constexpr std::uint32_t state_behind(std::uint32_t state, const Words& words,
                                     const BlockTables& tables, std::uint32_t lane,
                                     std::index_sequence<kRow...>) {
  ((state = next_row(state, tables, lane) ^ words.word[kRow]), ...);
  return state;
}

// Rows from the lane's word `at` on, some of which may lie before the unit. Without the last word.
constexpr Words first_words(const UnitWords& unit, std::uint32_t at) {
  Words words{};
  for (std::uint32_t i = 0; i < kRowsInFlight; ++i, at += kLanes) {
    // `at` before the unit is very large.
    if (at == 0) words.word[i] = first_word(unit);
    if (at != 0 && at < before_last(unit)) words.word[i] = unit.words[at];
  }
  return words;
}

// The same of rows that all lie behind the first.
constexpr Words more_words(const UnitWords& unit, std::uint32_t at) {
  Words words{};
  for (std::uint32_t i = 0; i < kRowsInFlight; ++i, at += kLanes) {
    if (at < before_last(unit)) words.word[i] = unit.words[at];
  }
  return words;
}

// The exclusive or of it over all lanes is the unit's remainder. Words are read before the ones
// before them are worked on.
constexpr std::uint32_t lane_remainder(const UnitWords& unit, const BlockTables& tables,
                                       std::uint32_t lane) {
  constexpr std::uint32_t kStep = kRowsInFlight * kLanes;
  constexpr std::make_index_sequence<kRowsInFlight> kEveryRow;
  std::uint32_t left = (unit.count + kStep - 1) / kStep * kStep;
  std::uint32_t state = 0;
  const std::uint32_t last = lane == kLanes - 1 ? last_word(unit) : 0;
  Words words = first_words(unit, unit.count - left + lane);
  while (left > kStep) {
    left -= kStep;
    const Words next = more_words(unit, unit.count - left + lane);
    state = state_behind(state, words, tables, lane, kEveryRow);
    words = next;
  }
  if (lane == kLanes - 1) words.word[kRowsInFlight - 1] = last;
  state = state_behind(state, words, tables, lane, kEveryRow);
  return crc32c_multiply(state, tables.to_end[lane * kWordBytes + unit.tail]);
}

// The exclusive or of it over all lanes is `remainder` with two to the `power` bytes behind it.
constexpr std::uint32_t lane_shift(std::uint32_t remainder, std::uint32_t power,
                                   const BlockTables& tables, std::uint32_t lane) {
  return (remainder >> lane & 1) != 0 ? tables.power[power * 32 + lane] : 0;
}

}  // namespace sluice
