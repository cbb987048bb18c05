// The arithmetic of the kernel checksum_pieces, a warp emulated lane by lane.
#include "src/gpu/checksum_unit.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "src/base/crc32c.h"
#include "src/gpu/checksum_pieces.h"
#include "src/gpu/gpu.h"

namespace sluice {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t count, std::mt19937& random) {
  Bytes bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

const BlockTables& block_tables() {
  static const auto kTables = [] {
    auto tables = std::make_unique<BlockTables>();
    static constexpr ChecksumTables kAll = checksum_tables();
    for (std::uint32_t thread = 0; thread < kLaunchThreads; ++thread) {
      fill_tables(*tables, kAll, thread);
    }
    return tables;
  }();
  return *kTables;
}

std::uint32_t warp_remainder(const ChecksumUnit& unit) {
  const auto address = reinterpret_cast<std::uintptr_t>(unit.from);
  const std::uint32_t head = address % kWordBytes;
  const UnitWords words = words_of(reinterpret_cast<const std::uint32_t*>(address - head), head,
                                   static_cast<const unsigned char*>(unit.from), unit.length);
  std::uint32_t remainder = 0;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    remainder ^= lane_remainder(words, block_tables(), lane);
  }
  for (std::uint32_t power = 0; unit.behind >> power != 0; ++power) {
    if ((unit.behind >> power & 1) == 0) continue;
    std::uint32_t shifted = 0;
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      shifted ^= lane_shift(remainder, power, block_tables(), lane);
    }
    remainder = shifted;
  }
  return remainder;
}

std::uint32_t remainder_of(std::span<const std::span<const std::byte>> pieces) {
  std::uint32_t sum = 0;
  for (const auto piece : pieces) sum = crc32c_remainder(piece, sum);
  return sum;
}

TEST(ChecksumUnit, OfEveryAlignmentAndLength) {
  std::mt19937 random(1);
  const Bytes bytes = random_bytes(9000, random);
  std::vector<std::uint16_t> lengths;
  for (std::uint16_t length = 0; length < 300; ++length) lengths.push_back(length);
  for (std::uint32_t turn = 1; turn < 9; ++turn) {  // Around what is read at a time.
    const std::uint32_t middle = turn * kRowBytes * kRowsInFlight;
    for (std::uint32_t length = middle - 5; length <= middle + 5; ++length) {
      lengths.push_back(static_cast<std::uint16_t>(length));
    }
  }
  for (const std::uint16_t length : lengths) {
    for (std::size_t at = 0; at < 8; ++at) {
      if (length == 0 && at != 0) continue;  // Only a Checksum of nothing has a unit of nothing.
      const auto part = std::span(bytes).subspan(at, length);
      const ChecksumUnit unit{part.data(), nullptr, 0, length, 0};
      ASSERT_EQ(warp_remainder(unit), crc32c_remainder(part)) << length << " at " << at;
    }
  }
}

TEST(ChecksumUnit, ShiftedByWhatLiesBehind) {
  std::mt19937 random(2);
  const Bytes bytes = random_bytes(1000, random);
  for (std::uint32_t round = 0; round < 300; ++round) {
    const std::uint32_t behind =
        round == 0 ? kShiftPeriod - 1 : static_cast<std::uint32_t>(random()) >> (1 + round % 31);
    const ChecksumUnit unit{bytes.data() + round % 9, nullptr, behind, 777, 0};
    const std::uint32_t expected =
        crc32c_shifted(crc32c_remainder(std::span(bytes).subspan(round % 9, 777)), behind);
    ASSERT_EQ(warp_remainder(unit), expected) << behind;
  }
}

// Bytes around a unit have no part in it, whatever they are.
TEST(ChecksumUnit, HasNoByteOfOthers) {
  std::mt19937 random(3);
  for (std::uint16_t length = 1; length < 20; ++length) {
    for (std::size_t at = 4; at < 12; ++at) {
      Bytes bytes = random_bytes(64, random);
      const ChecksumUnit unit{bytes.data() + at, nullptr, 0, length, 0};
      const std::uint32_t before = warp_remainder(unit);
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (i < at || i >= at + length) bytes[i] ^= std::byte{0xff};
      }
      ASSERT_EQ(warp_remainder(unit), before) << length << " at " << at;
    }
  }
}

// An allocation of its own for each, which the address sanitizer watches.
TEST(ChecksumUnit, ReadsNothingBehindIt) {
  std::mt19937 random(5);
  for (std::uint16_t length = 1; length < 600; ++length) {
    const Bytes bytes = random_bytes(length, random);
    for (std::uint16_t at = 0; at < length && at < 4; ++at) {
      const ChecksumUnit unit{bytes.data() + at, nullptr, 0,
                              static_cast<std::uint16_t>(length - at), 0};
      ASSERT_EQ(warp_remainder(unit), crc32c_remainder(std::span(bytes).subspan(at))) << length;
    }
  }
}

TEST(ChecksumUnit, UnitsOfAChecksumGiveTheWhole) {
  std::mt19937 random(4);
  const Bytes bytes = random_bytes(200'000, random);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::span<const std::byte>> pieces;
    for (std::size_t i = random() % 9; i > 0; --i) {
      const std::size_t length = random() % 4 == 0 ? 0 : random() % (1u << random() % 17);
      pieces.push_back(std::span(bytes).subspan(random() % (bytes.size() - length), length));
    }
    std::uint32_t into = 0;
    std::uint32_t sum = 0;
    int ends = 0;
    cut_checksum(Checksum{pieces, &into}, 7, [&](const ChecksumUnit& unit) {
      ASSERT_EQ(ends, 0) << "the last one is the last";
      ASSERT_EQ(unit.sum, 7);
      if (unit.into != nullptr) ++ends;
      ASSERT_TRUE(unit.into == nullptr || unit.into == &into);
      sum ^= warp_remainder(unit);
    });
    ASSERT_EQ(ends, 1);
    ASSERT_EQ(sum, remainder_of(pieces)) << "round " << round;
  }
}

// Nothing is read: it only says what there would be.
TEST(ChecksumUnit, BehindIsCountedModuloThePeriod) {
  constexpr std::uint64_t kFar = (1ull << 32) + 12'345;
  const std::span<const std::byte> pieces[] = {{reinterpret_cast<const std::byte*>(16), 1},
                                               {reinterpret_cast<const std::byte*>(4096), kFar}};
  std::uint32_t into = 0;
  std::uint64_t units = 0;
  std::uint32_t first = 0;
  cut_checksum(Checksum{pieces, &into}, 0, [&](const ChecksumUnit& unit) {
    if (units++ == 0) first = unit.behind;
  });
  EXPECT_EQ(first, kFar % kShiftPeriod);
  EXPECT_EQ(units, 2 + kFar / kLargestChecksumUnit);
}

}  // namespace
}  // namespace sluice
