// Copies a list of units, then tells the host. Pack and unpack are both that list.
#include "src/gpu/copy_pieces.h"
#include "src/gpu/copy_unit.cuh"
#include "src/gpu/launch.cuh"
#include "src/gpu/linger.cuh"

namespace sluice {

extern "C" __global__ void __launch_bounds__(kLaunchThreads, 1)
    copy_pieces(const __grid_constant__ CopyArguments arguments) {
  const LaunchList list = list_of(arguments);
  for_each_unit(arguments, list,
                [](const CopyUnit& unit, std::uint32_t lane) { copy_unit(unit, lane); });
  if (finishes_last(*arguments.state, list)) tell(arguments, list);
}

// Only for GPUs that have clusters.
extern "C" __global__ void __launch_bounds__(kLaunchThreads, 1)
    copy_pieces_lingering(const __grid_constant__ CopyArguments arguments) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  linger(arguments, [](const CopyUnit& unit, std::uint32_t lane) { copy_unit(unit, lane); });
#endif
}

}  // namespace sluice
