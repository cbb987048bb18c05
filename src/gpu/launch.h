// What the host and a kernel that works through a list of units tell each other. Plain data: nvcc
// reads it too.
#pragma once

#include <cstdint>

namespace sluice {

inline constexpr std::uint32_t kLanes = 32;           // Of a warp; a warp works on a unit.
inline constexpr std::uint32_t kLaunchThreads = 512;  // Of a block; at most a block runs on an SM.
// Of all arguments of a launch: what every driver takes.
inline constexpr std::uint32_t kMostArgumentBytes = 4096;

// In device memory, all of it 0 before the first launch and between launches. A kernel may have
// more.
struct LaunchState {
  std::uint32_t finished;  // Blocks that are done.
  std::uint32_t claimed;   // Units that warps have taken beyond the first of each.
};

template <typename UnitType, typename StateType>
struct LaunchArguments {
  using Unit = UnitType;
  using State = StateType;

  const Unit* units;             // In pinned memory; nullptr: they are inline.
  std::uint32_t count;           // Units; 0 only writes the flag.
  State* state;                  // Of the stream.
  volatile std::uint64_t* flag;  // In pinned memory: the ticket, once everything is visible.
  std::uint64_t ticket;
  // Units that travel with the launch itself: the kernel then does not fetch its list over PCIe.
  static constexpr std::uint32_t kInlineUnits = (kMostArgumentBytes - 48) / sizeof(Unit);
  Unit inline_units[kInlineUnits];
};

}  // namespace sluice
