// What the host and the kernel copy_pieces tell each other. Plain data: nvcc reads it too.
#pragma once

#include <cstdint>

#include "src/gpu/launch.h"

namespace sluice {

// A warp copies a unit; large pieces are cut into units, so that they spread over all warps.
inline constexpr std::uint64_t kLargestUnit = 4096;

// A copy of at most kLargestUnit bytes between addresses that the GPU can reach: its own memory, or
// pinned host memory. Any alignment; pieces of one launch do not overlap. Sixteen bytes, because
// long lists of them are read over PCIe: an address has at most 57 bits, and each shares its word
// with half of the length.
class alignas(16) CopyUnit {
 public:
  CopyUnit() = default;
  CopyUnit(const void* from, void* to, std::uint64_t length)
      : CopyUnit(reinterpret_cast<std::uint64_t>(from), reinterpret_cast<std::uint64_t>(to),
                 length) {}
  constexpr CopyUnit(std::uint64_t from, std::uint64_t to, std::uint64_t length)
      : from_(from | (length & kLengthMask) << kAddressBits),
        to_(to | (length >> kLengthBits) << kAddressBits) {}

  // How many a run has, and one of them.
  static constexpr std::uint32_t count_of(const UnitRun& run) {
    return static_cast<std::uint32_t>((run.length + kLargestUnit - 1) / kLargestUnit);
  }
  static constexpr CopyUnit of(const UnitRun& run, std::uint32_t i) {
    const std::uint64_t at = i * kLargestUnit;
    const std::uint64_t left = run.length - at;
    return {run.from + at, run.to + at, left < kLargestUnit ? left : kLargestUnit};
  }

  [[nodiscard]] constexpr std::uint64_t from() const { return from_ & kAddressMask; }
  [[nodiscard]] constexpr std::uint64_t to() const { return to_ & kAddressMask; }
  [[nodiscard]] constexpr std::uint32_t length() const {
    return static_cast<std::uint32_t>(from_ >> kAddressBits | to_ >> kAddressBits << kLengthBits);
  }

 private:
  static constexpr std::uint32_t kAddressBits = 57;
  static constexpr std::uint32_t kLengthBits = 64 - kAddressBits;  // In each word.
  static constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << kAddressBits) - 1;
  static constexpr std::uint64_t kLengthMask = (std::uint64_t{1} << kLengthBits) - 1;
  static_assert(kLargestUnit >> 2 * kLengthBits == 0);

  std::uint64_t from_ = 0;
  std::uint64_t to_ = 0;
};
static_assert(sizeof(CopyUnit) == 16);

using CopyArguments = LaunchArguments<CopyUnit, LaunchState>;
static_assert(sizeof(CopyArguments) <= kMostArgumentBytes);

}  // namespace sluice
