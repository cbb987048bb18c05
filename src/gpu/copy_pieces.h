// What the host and the kernel copy_pieces tell each other. Plain data: nvcc reads it too.
#pragma once

#include <cstdint>

#include "src/gpu/launch.h"

namespace sluice {

// A copy of `length` bytes, at most kLargestUnit, between addresses that the GPU can reach: its own
// memory, or pinned host memory. Any alignment; pieces of one launch do not overlap.
struct CopyUnit {
  const void* from;
  void* to;
  std::uint64_t length;
};

// A warp copies a unit; large pieces are cut into units, so that they spread over all warps.
inline constexpr std::uint64_t kLargestUnit = 4096;

using CopyArguments = LaunchArguments<CopyUnit, LaunchState>;
static_assert(sizeof(CopyArguments) <= 4096);

}  // namespace sluice
