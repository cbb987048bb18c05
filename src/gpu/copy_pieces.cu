// The one kernel: copies a list of units, then tells the host. Pack and unpack are both that list.
#include "src/gpu/copy_pieces.h"
#include "src/gpu/copy_unit.cuh"

namespace sluice {

// Units that a warp takes at a time: many when there are many, so that their descriptions are
// fetched together, few when all warps can have one.
__device__ std::uint32_t group_of(std::uint32_t count, std::uint32_t warps) {
  const std::uint32_t share = count / warps;
  return share < 1 ? 1 : share > kLanes ? kLanes : share;
}

// The bytes of this block are visible to the whole system before its count is; the block that
// counts last has seen all counts and may tell the host.
__device__ void tell(const CopyArguments& arguments) {
  __syncthreads();
  if (threadIdx.x != 0) return;
  __threadfence_system();
  if (atomicAdd(arguments.finished, 1) != gridDim.x - 1) return;
  *arguments.finished = 0;
  __threadfence_system();
  *arguments.flag = arguments.ticket;
}

extern "C" __global__ void __launch_bounds__(kCopyThreads, 1)
    copy_pieces(const __grid_constant__ CopyArguments arguments) {
  const CopyUnit* units = arguments.units != nullptr ? arguments.units : arguments.inline_units;
  const std::uint32_t count = arguments.count;
  const std::uint32_t lane = threadIdx.x % kLanes;
  const std::uint32_t warps = gridDim.x * (blockDim.x / kLanes);
  const std::uint32_t warp = blockIdx.x + gridDim.x * (threadIdx.x / kLanes);
  const std::uint32_t group = group_of(count, warps);
  for (std::uint64_t first = std::uint64_t{warp} * group; first < count;
       first += std::uint64_t{warps} * group) {
    CopyUnit mine = {};
    if (lane < group && first + lane < count) mine = units[first + lane];
    for (std::uint32_t i = 0; i < group && first + i < count; ++i) {
      const auto from = __shfl_sync(~0u, reinterpret_cast<std::uintptr_t>(mine.from), i);
      const auto to = __shfl_sync(~0u, reinterpret_cast<std::uintptr_t>(mine.to), i);
      const auto length = __shfl_sync(~0u, static_cast<std::uint32_t>(mine.length), i);
      copy_unit(reinterpret_cast<const char*>(from), reinterpret_cast<char*>(to), length, lane);
    }
  }
  tell(arguments);
}

}  // namespace sluice
