// What kernels that work through a list of units have in common: where the list ends, how warps
// share the units, and how the last block tells the host.
#pragma once

#include <cstdint>
#include <cstring>

#include "src/gpu/launch.h"

namespace sluice {

// What one launch works through.
struct LaunchList {
  std::uint64_t progress;  // At its end.
  std::uint32_t first;     // Unit.
  std::uint32_t count;
};

// Where an open list ends. One half of a bargain, of which KernelQueue::post() has the other: the
// host is told that the list is closed before it is looked at for the last time.
template <typename Arguments>
__device__ std::uint64_t close_list(const Arguments& arguments) {
  arguments.flags[kListClosed] = arguments.launch;
  __threadfence_system();
  const std::uint64_t end = arguments.posted[kEnd];
  __threadfence_system();  // What the host wrote before is read anew, not from a cache.
  return end;
}

// For one thread of each block. The first block of the launch closes the list, the others take its
// word.
template <typename Arguments>
__device__ std::uint64_t end_of_open_list(const Arguments& arguments) {
  LaunchState& state = *arguments.state;
  if (atomicAdd(&state.begun, 1) == 0) {
    const std::uint64_t end = close_list(arguments);
    *const_cast<volatile std::uint64_t*>(&state.end) = end;
    __threadfence();
    atomicExch(&state.known, 1);
    return end;
  }
  while (atomicAdd(&state.known, 0) == 0) {
  }
  __threadfence();
  return *const_cast<volatile std::uint64_t*>(&state.end);
}

// For all threads, first of all.
template <typename Arguments>
__device__ LaunchList list_of(const Arguments& arguments) {
  if (blockIdx.x == 0 && threadIdx.x == 0) arguments.flags[kBegun] = arguments.launch;
  if (arguments.is_known != 0) return {arguments.progress, arguments.first, arguments.count};
  std::uint64_t progress = arguments.progress;
  if (arguments.posted != nullptr) {
    __shared__ std::uint64_t end;
    if (threadIdx.x == 0) end = end_of_open_list(arguments);
    __syncthreads();
    progress = end;
  }
  const std::uint32_t first = arguments.state->done;
  const std::uint64_t end = arguments.state->end;
  const auto left = static_cast<std::int32_t>(units_of(progress) - first);
  // An open list before a closed one has gone beyond its end, or beyond its last piece of work.
  if (left < 0 || (left == 0 && is_later(end, progress))) return {end, first, 0};
  return {progress, first, static_cast<std::uint32_t>(left)};
}

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
__device__ void for_each_unit(const Arguments& arguments, const LaunchList& list, Work work) {
  using Unit = typename Arguments::Unit;
  const std::uint32_t count = list.count;
  const std::uint32_t lane = threadIdx.x % kLanes;
  const std::uint32_t warps = gridDim.x * (blockDim.x / kLanes);
  const std::uint32_t warp = blockIdx.x + gridDim.x * (threadIdx.x / kLanes);
  const std::uint32_t share = count / warps;
  const std::uint32_t group = share < 1 ? 1 : share > kMostClaimed ? kMostClaimed : share;
  const std::uint32_t owned = warps * group;
  for (std::uint32_t first = warp * group; first < count;) {
    Unit mine = {};
    if (lane < group && first + lane < count) {
      mine = arguments.units == nullptr
                 ? arguments.inline_units[first + lane]
                 : arguments.units[(list.first + first + lane) & arguments.mask];
    }
    for (std::uint32_t i = 0; i < group && first + i < count; ++i) work(from_lane(mine, i), lane);
    if (owned >= count) return;
    if (lane == 0) first = owned + atomicAdd(&arguments.state->claimed, group);
    first = __shfl_sync(~0u, first, 0);
  }
}

// For all threads, when their work is done. True for the first warp of the block that finishes last
// in its launch: all that the others have written lies before it. The fence of each block is for
// the GPU alone; that of tell(), which comes behind all of them, makes it the whole system's.
__device__ inline bool finishes_last(LaunchState& state, const LaunchList& list) {
  __syncthreads();
  if (threadIdx.x >= kLanes) return false;
  bool last = false;
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(&state.finished, 1) == gridDim.x - 1;
    if (last) {
      state.finished = state.claimed = state.begun = state.known = 0;
      state.done = list.first + list.count;
    }
  }
  return __shfl_sync(~0u, last, 0);
}

// For the warp that finishes last: the host may see the progress once it can see everything else,
// and that the launch has finished once it can see the progress.
template <typename Arguments>
__device__ void tell(const Arguments& arguments, const LaunchList& list) {
  __syncwarp();
  if (threadIdx.x != 0) return;
  __threadfence_system();
  arguments.flags[kProgress] = list.progress;
  __threadfence_system();
  arguments.flags[kFinished] = arguments.launch;
}

}  // namespace sluice
