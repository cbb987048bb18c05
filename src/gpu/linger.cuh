// A launch that lingers: it works through what is posted, and stays for more. What comes then is
// copied without a launch, which takes longer than a copy. Its blocks are one cluster, because that
// is how they tell each other most quickly: the first block looks what is posted, and fetches the
// list for all, unless the post says itself what is to be copied.
#pragma once

#include <cstdint>

#include "src/gpu/launch.cuh"

namespace sluice {

#ifdef __CUDACC__  // Elsewhere emulated_cuda_fixture.h has these.
__device__ inline std::uint64_t now_ns() {
  std::uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

// What others in the system wrote before they wrote what is read here, is read after it.
__device__ inline std::uint64_t load_acquire(const volatile std::uint64_t* at) {
  std::uint64_t value;
  asm volatile("ld.acquire.sys.u64 %0, [%1];" : "=l"(value) : "l"(at) : "memory");
  return value;
}

// For all threads of the cluster: what each wrote before, all read after.
__device__ inline void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// Writes a shared variable of a block of the cluster, which has it after the next sync_cluster().
template <typename T>
__device__ void put_in_block(T& shared, const T& value, std::uint32_t block) {
  std::uint64_t address;
  asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(&shared), "r"(block));
  *reinterpret_cast<T*>(address) = value;
}

// A shared variable, that of the first block. Until that block has passed the last sync_cluster().
template <typename T>
__device__ const T& of_first_block(const T& shared) {
  std::uint64_t address;
  asm("mapa.u64 %0, %1, 0;" : "=l"(address) : "l"(&shared));
  return *reinterpret_cast<const T*>(address);
}
#endif

struct LingerRound {
  std::uint64_t progress;  // At its end.
  std::uint64_t is_last;
  UnitRun run;  // The last that has come, or none.
};

inline constexpr std::uint32_t kPollsToAClock = 8;  // Reading the time takes long.

// For a warp: what is posted beyond `told`, or at the last; the same for all lanes. A lane reads a
// word, so that one access over PCIe reads all: with more of them each takes longer.
template <typename Arguments>
__device__ LingerRound next_round(const Arguments& arguments, std::uint64_t told,
                                  std::uint64_t leave_at) {
  const std::uint32_t lane = threadIdx.x % kLanes;
  const std::uint64_t now = from_lane(now_ns(), 0);
  const std::uint64_t patient_until = now + arguments.linger_ns;
  const std::uint64_t until = patient_until < leave_at ? patient_until : leave_at;
  for (std::uint32_t polls = 0; polls % kPollsToAClock != 0 || from_lane(now_ns(), 0) < until;
       ++polls) {
    const std::uint64_t word = load_acquire(&arguments.posted[lane % kPostedWords]);
    const std::uint64_t posted = from_lane(word, kEnd);
    if (from_lane(word, kLeave) >= arguments.launch) break;
    if (posted == told) continue;
    std::uint64_t run[kRunWords];
#pragma unroll
    for (std::uint32_t i = 0; i < kRunWords; ++i) run[i] = from_lane(word, kRun + i);
    return {posted, 0, run_of(run, posted)};
  }
  std::uint64_t end = 0;
  if (lane == 0) end = close_list(arguments);
  return {from_lane(end, 0), 1, {}};
}

inline constexpr std::uint32_t kFetched = 1024;  // Units that the first block has for all.

// Calls work(unit, lane) for this warp's units of `count`, with all of its lanes. unit_at(i) is
// called once for each.
template <typename Unit, typename UnitAt, typename Work>
__device__ void do_round(std::uint32_t count, UnitAt unit_at, Work work) {
  const std::uint32_t lane = threadIdx.x % kLanes;
  const std::uint32_t warps = gridDim.x * (blockDim.x / kLanes);
  const std::uint32_t warp = blockIdx.x + gridDim.x * (threadIdx.x / kLanes);
  for (std::uint32_t base = warp; base < count; base += warps * kLanes) {
    Unit mine = {};
    const std::uint32_t i = base + warps * lane;
    if (i < count) mine = unit_at(i);
    for (std::uint32_t k = 0; k < kLanes && base + warps * k < count; ++k) {
      work(from_lane(mine, k), lane);
    }
  }
}

// Calls work(unit, lane) for every unit, with all lanes of a warp. For all threads of the cluster.
template <typename Arguments, typename Work>
__device__ void linger(const Arguments& arguments, Work work) {
  using Unit = typename Arguments::Unit;
  __shared__ Unit fetched[kFetched];
  __shared__ LingerRound round;
  const bool leads = blockIdx.x == 0 && threadIdx.x == 0;
  const std::uint64_t leave_at = from_lane(now_ns(), 0) + kLongestStayNs;  // One for a warp.
  if (leads) arguments.flags[kBegun] = arguments.launch;
  sync_cluster();  // From here on all blocks can be written to.
  LingerRound now{};
  for (std::uint32_t done = arguments.state->done; now.is_last == 0;) {
    if (blockIdx.x == 0) {
      if (threadIdx.x < kLanes) {
        const LingerRound next = next_round(arguments, now.progress, leave_at);
        if (threadIdx.x < gridDim.x) put_in_block(round, next, threadIdx.x);
      }
      __syncthreads();
      const std::uint32_t come = units_of(round.progress) - done;
      const std::uint32_t listed = Unit::count_of(round.run) == come ? 0 : come;
      for (std::uint32_t i = threadIdx.x; i < listed && i < kFetched; i += blockDim.x) {
        fetched[i] = arguments.units[(done + i) & arguments.mask];
      }
    }
    sync_cluster();
    now = round;
    const std::uint32_t count = units_of(now.progress) - done;
    if (Unit::count_of(now.run) == count) {
      const auto unit_at = [&](std::uint32_t i) { return Unit::of(now.run, i); };
      do_round<Unit>(count, unit_at, work);
    } else {
      const Unit* const units = of_first_block(fetched);  // A word is read once for each lane.
      const auto unit_at = [&](std::uint32_t i) {
        return i < kFetched ? units[i] : arguments.units[(done + i) & arguments.mask];
      };
      do_round<Unit>(count, unit_at, work);
    }
    done += count;
    sync_cluster();
    if (!leads) continue;
    if (now.is_last != 0) {
      arguments.state->done = done;
      arguments.state->end = now.progress;
    }
    __threadfence_system();
    arguments.flags[kProgress] = now.progress;
  }
  if (!leads) return;
  __threadfence_system();
  arguments.flags[kFinished] = arguments.launch;
}

}  // namespace sluice
