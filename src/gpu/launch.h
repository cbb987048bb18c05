// What the host and a kernel that works through a list of units tell each other. Plain data: nvcc
// reads it too.
#pragma once

#include <cstdint>

namespace sluice {

inline constexpr std::uint32_t kLanes = 32;           // Of a warp; a warp works on a unit.
inline constexpr std::uint32_t kLaunchThreads = 512;  // Of a block; at most a block runs on an SM.
// Units that travel with the launch itself: the kernel then does not fetch its list over PCIe. So
// many that the arguments stay below 4 KiB, which every driver takes.
inline constexpr std::uint32_t kInlineUnits = 164;

// In device memory, all of it 0 before the first launch. A kernel may have more.
struct LaunchState {
  std::uint32_t finished;  // Blocks that are done. 0 between launches.
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
  Unit inline_units[kInlineUnits];
};

}  // namespace sluice
