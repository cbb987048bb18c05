// What the host and the kernel copy_pieces tell each other. Plain data: nvcc reads it too.
#pragma once

#include <cstdint>

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
// Units that travel with the launch itself: the kernel then does not fetch its list over PCIe. So
// many that the arguments stay below 4 KiB, which every driver takes.
inline constexpr std::uint32_t kInlineUnits = 164;
inline constexpr std::uint32_t kCopyThreads = 512;  // Of a block; at most a block runs on an SM.

struct CopyArguments {
  const CopyUnit* units;         // In pinned memory; nullptr: they are inline.
  std::uint32_t count;           // Units; 0 only writes the flag.
  std::uint32_t* finished;       // In device memory: blocks that are done. 0 between launches.
  volatile std::uint64_t* flag;  // In pinned memory: the ticket, once every byte is visible.
  std::uint64_t ticket;
  CopyUnit inline_units[kInlineUnits];
};
static_assert(sizeof(CopyArguments) <= 4096);

}  // namespace sluice
