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

// Calls work(unit, lane) for this warp's units, with all of its lanes. A warp takes several at a
// time when there are many, so that their descriptions are fetched together, and one when all warps
// can have one.
template <typename Arguments, typename Work>
__device__ void for_each_unit(const Arguments& arguments, Work work) {
  using Unit = typename Arguments::Unit;
  const Unit* units = arguments.units != nullptr ? arguments.units : arguments.inline_units;
  const std::uint32_t count = arguments.count;
  const std::uint32_t lane = threadIdx.x % kLanes;
  const std::uint32_t warps = gridDim.x * (blockDim.x / kLanes);
  const std::uint32_t warp = blockIdx.x + gridDim.x * (threadIdx.x / kLanes);
  const std::uint32_t share = count / warps;
  const std::uint32_t group = share < 1 ? 1 : share > kLanes ? kLanes : share;
  for (std::uint64_t first = std::uint64_t{warp} * group; first < count;
       first += std::uint64_t{warps} * group) {
    Unit mine = {};
    if (lane < group && first + lane < count) mine = units[first + lane];
    for (std::uint32_t i = 0; i < group && first + i < count; ++i) work(from_lane(mine, i), lane);
  }
}

// For all threads, when their work is done. True for the first warp of the block that finishes last
// in its launch: all that the others have written lies before it.
__device__ inline bool finishes_last(LaunchState& state) {
  __syncthreads();
  if (threadIdx.x >= kLanes) return false;
  bool last = false;
  if (threadIdx.x == 0) {
    __threadfence_system();
    last = atomicAdd(&state.finished, 1) == gridDim.x - 1;
    if (last) state.finished = 0;
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
