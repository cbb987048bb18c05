// What the host and the kernel checksum_pieces tell each other, and how the host cuts a Checksum
// into units. nvcc reads it too.
#pragma once

#include <cstdint>

#include "src/gpu/launch.h"

namespace sluice {

// Bytes of a Checksum: `length` of them, at most kLargestChecksumUnit, with any alignment, in
// memory of the GPU or pinned.
struct ChecksumUnit {
  const void* from;
  std::uint32_t* into;   // Of the last unit of a Checksum: where its remainder goes. Else nullptr.
  std::uint32_t behind;  // Bytes of the Checksum behind these, modulo kShiftPeriod.
  std::uint16_t length;
  std::uint16_t sum;  // What the Checksum's units are gathered in. Below kSums.
};

// A chunk of 512 KiB gives each warp of four SMs one: the fewer there are, the fewer shifts.
inline constexpr std::uint64_t kLargestChecksumUnit = 8 << 10;
// Checksums that a launch may have a part in: a lane writes the remainder of each.
inline constexpr std::uint32_t kSums = kLanes;
// The powers of x modulo the generator repeat after so many, and so do those of x^8.
inline constexpr std::uint32_t kShiftPeriod = (1u << 31) - 1;

// A Checksum of which some units are seen. Its units may come in several launches of one stream.
struct ChecksumSum {
  std::uint32_t* into;  // nullptr until its last unit is seen.
  std::uint32_t remainder;
};

struct ChecksumState : LaunchState {
  ChecksumSum sums[kSums];  // All 0 before the first unit of each.
};

using ChecksumArguments = LaunchArguments<ChecksumUnit, ChecksumState>;
static_assert(sizeof(ChecksumArguments) <= kMostArgumentBytes);

// Calls add(ChecksumUnit) for each unit of `checksum`, a Checksum: at least one, so that whoever
// works on it sees its end.
template <typename Checksum, typename Add>
void cut_checksum(const Checksum& checksum, std::uint16_t sum, Add add) {
  std::uint64_t behind = 0;
  for (const auto piece : checksum.pieces) behind += piece.size();
  if (behind == 0) add(ChecksumUnit{nullptr, checksum.into, 0, 0, sum});
  for (auto piece : checksum.pieces) {
    while (!piece.empty()) {
      const std::uint64_t length =
          piece.size() < kLargestChecksumUnit ? piece.size() : kLargestChecksumUnit;
      behind -= length;
      add(ChecksumUnit{piece.data(), behind == 0 ? checksum.into : nullptr,
                       static_cast<std::uint32_t>(behind % kShiftPeriod),
                       static_cast<std::uint16_t>(length), sum});
      piece = piece.subspan(length);
    }
  }
}

}  // namespace sluice
