// Takes the remainders of a list of units, puts together those of each Checksum, tells the host.
#include "src/gpu/checksum_pieces.h"
#include "src/gpu/checksum_unit.h"
#include "src/gpu/launch.cuh"

namespace sluice {

__device__ constexpr ChecksumTables kTables = checksum_tables();

// Shifted by what lies behind the unit.
__device__ std::uint32_t unit_remainder(const ChecksumUnit& unit, const BlockTables& tables,
                                        std::uint32_t lane) {
  const auto address = reinterpret_cast<std::uintptr_t>(unit.from);
  const std::uint32_t head = address % kWordBytes;
  const UnitWords words = words_of(reinterpret_cast<const std::uint32_t*>(address - head), head,
                                   static_cast<const unsigned char*>(unit.from), unit.length);
  std::uint32_t remainder = __reduce_xor_sync(~0u, lane_remainder(words, tables, lane));
  for (std::uint32_t power = 0; unit.behind >> power != 0; ++power) {
    if ((unit.behind >> power & 1) == 0) continue;
    remainder = __reduce_xor_sync(~0u, lane_shift(remainder, power, tables, lane));
  }
  return remainder;
}

// A lane for each Checksum. `into` is read past this SM's cache, which may have what was there
// before.
__device__ void write_remainders(ChecksumSum* sums) {
  __threadfence();
  __syncwarp();
  ChecksumSum& sum = sums[threadIdx.x];
  std::uint32_t* const into = *const_cast<std::uint32_t* volatile*>(&sum.into);
  if (into == nullptr) return;
  *into = atomicExch(&sum.remainder, 0);
  sum.into = nullptr;
}

extern "C" __global__ void __launch_bounds__(kLaunchThreads, 1)
    checksum_pieces(const __grid_constant__ ChecksumArguments arguments) {
  __shared__ BlockTables tables;
  fill_tables(tables, kTables, threadIdx.x);
  __syncthreads();
  const LaunchList list = list_of(arguments);
  ChecksumSum* const sums = arguments.state->sums;
  for_each_unit(arguments, list, [&](const ChecksumUnit& unit, std::uint32_t lane) {
    const std::uint32_t remainder = unit_remainder(unit, tables, lane);
    if (lane != 0) return;
    atomicXor(&sums[unit.sum].remainder, remainder);
    if (unit.into != nullptr) sums[unit.sum].into = unit.into;
  });
  if (!finishes_last(*arguments.state, list)) return;
  write_remainders(sums);
  tell(arguments, list);
}

}  // namespace sluice
