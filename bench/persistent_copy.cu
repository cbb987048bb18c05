#include "bench/persistent_copy.h"
#include "src/gpu/copy_unit.cuh"

namespace sluice {

extern "C" __global__ void __launch_bounds__(kLaunchThreads, 1)
    persistent_copy(PersistentArguments arguments) {
  __shared__ std::uint64_t posted;
  const std::uint32_t lane = threadIdx.x % kLanes;
  const std::uint32_t warps = gridDim.x * (blockDim.x / kLanes);
  const std::uint32_t warp = blockIdx.x + gridDim.x * (threadIdx.x / kLanes);
  for (std::uint64_t job = 0;; ++job) {
    if (threadIdx.x == 0) {
      while (*arguments.posted <= job) {
      }
      posted = *arguments.posted;
      __threadfence_system();  // What the host wrote before is read anew, not from a cache.
    }
    __syncthreads();
    if (posted == kPersistentStop) return;
    const PersistentJob work = arguments.jobs[job % kPersistentJobs];
    for (std::uint32_t i = warp; i < work.count; i += warps) {
      copy_unit(work.units[i], lane);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence_system();
      std::uint32_t* finished = arguments.finished + job % kPersistentJobs;
      if (atomicAdd(finished, 1) == gridDim.x - 1) {
        *finished = 0;
        __threadfence_system();
        *arguments.flag = job + 1;
      }
    }
  }
}

}  // namespace sluice
