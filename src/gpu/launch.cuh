// What kernels that work through a list of units have in common: how warps share the units, and how
// the last block tells the host.
#pragma once

#include <cstdint>
#include <cstring>

#include "src/gpu/launch.h"

namespace sluice {

// What lane `lane` of the warp has in `mine`.
template <typename Unit>
__device__ Unit from_lane(const Unit& mine, std::uint32_t lane) {
  static_assert(sizeof(Unit) % sizeof(std::uint32_t) == 0);
  std::uint32_t words[sizeof(Unit) / sizeof(std::uint32_t)];
  std::memcpy(words, &mine, sizeof(Unit));
  for (std::uint32_t& word : words) word = __shfl_sync(~0u, word, lane);
  Unit unit;
  std::memcpy(&unit, words, sizeof(Unit));
  return unit;
}

// The most units that a warp takes at a time. More fetch more of a long list at once; with fewer,
// all warps end at the same time.
inline constexpr std::uint32_t kMostClaimed = 4;

// Calls work(unit, lane) for this warp's units, with all of its lanes. A warp takes several at a
// time when there are many, so that their descriptions are fetched together, and one when all warps
// can have one. The first are its own; further ones go to whichever warp comes first, because some
// are slower than others.
template <typename Arguments, typename Work>
__device__ void for_each_unit(const Arguments& arguments, Work work) {
  using Unit = typename Arguments::Unit;
  const Unit* units = arguments.units != nullptr ? arguments.units : arguments.inline_units;
  const std::uint32_t count = arguments.count;
  const std::uint32_t lane = threadIdx.x % kLanes;
  const std::uint32_t warps = gridDim.x * (blockDim.x / kLanes);
  const std::uint32_t warp = blockIdx.x + gridDim.x * (threadIdx.x / kLanes);
  const std::uint32_t share = count / warps;
  const std::uint32_t group = share < 1 ? 1 : share > kMostClaimed ? kMostClaimed : share;
  const std::uint32_t owned = warps * group;
  for (std::uint32_t first = warp * group; first < count;) {
    Unit mine = {};
    if (lane < group && first + lane < count) mine = units[first + lane];
    for (std::uint32_t i = 0; i < group && first + i < count; ++i) work(from_lane(mine, i), lane);
    if (owned >= count) return;
    if (lane == 0) first = owned + atomicAdd(&arguments.state->claimed, group);
    first = __shfl_sync(~0u, first, 0);
  }
}

// For all threads, when their work is done. True for the first warp of the block that finishes last
// in its launch: all that the others have written lies before it. The fence of each block is for
// the GPU alone; that of tell(), which comes behind all of them, makes it the whole system's.
__device__ inline bool finishes_last(LaunchState& state) {
  __syncthreads();
  if (threadIdx.x >= kLanes) return false;
  bool last = false;
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(&state.finished, 1) == gridDim.x - 1;
    if (last) state.finished = state.claimed = 0;
  }
  return __shfl_sync(~0u, last, 0);
}

// For the warp that finishes last: the host may see the ticket once it can see everything else.
template <typename Arguments>
__device__ void tell(const Arguments& arguments) {
  __syncwarp();
  if (threadIdx.x != 0) return;
  __threadfence_system();
  *arguments.flag = arguments.ticket;
}

}  // namespace sluice
