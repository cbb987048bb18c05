// What kernels take from CUDA, for tests that run them on the host: include it before a .cu file. A
// thread of the host is a thread of the GPU, so keep blocks few and small. Variables of a block are
// shared by all blocks: only for those that are the same in each of a launch.
#pragma once

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static

namespace sluice {

struct EmulatedIndex {
  std::uint32_t x = 0;
};
inline thread_local EmulatedIndex threadIdx;  // NOLINT: CUDA's names.
inline thread_local EmulatedIndex blockIdx;
inline thread_local EmulatedIndex blockDim;
inline thread_local EmulatedIndex gridDim;

struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};

struct EmulatedWarp {
  static constexpr std::uint32_t kThreads = 32;
  std::barrier<> barrier{kThreads};
  std::uint32_t values[kThreads] = {};
};
inline thread_local EmulatedWarp* emulated_warp = nullptr;
inline thread_local std::barrier<>* emulated_block = nullptr;
inline thread_local std::barrier<>* emulated_cluster = nullptr;  // All of a launch.

inline void __syncthreads() { emulated_block->arrive_and_wait(); }
inline std::atomic<std::uint64_t> emulated_acquires{0};  // Loads so far.
inline std::uint64_t load_acquire(const volatile std::uint64_t* at) {
  const std::uint64_t value =
      std::atomic_ref(*const_cast<std::uint64_t*>(at)).load(std::memory_order_acquire);
  ++emulated_acquires;
  return value;
}
inline void sync_cluster() { emulated_cluster->arrive_and_wait(); }
template <typename T>
void put_in_block(T& shared, const T& value, std::uint32_t block) {
  if (block == 0) shared = value;
}
template <typename T>
const T& of_first_block(const T& shared) {
  return shared;
}
inline std::atomic<std::uint64_t> emulated_ns{0};       // The GPU's time; 0: it is the host's.
inline std::atomic<std::uint64_t> emulated_skew_ns{0};  // Of a thread, before the one behind it.
inline std::uint64_t now_ns() {
  const std::uint64_t now = emulated_ns;
  if (now != 0) return now + emulated_skew_ns * threadIdx.x;
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}
inline void __syncwarp() { emulated_warp->barrier.arrive_and_wait(); }
// A full barrier on the processors there are, which the thread sanitizer compiles.
inline void __threadfence() {
  static std::atomic<std::uint32_t> barrier;
  barrier.fetch_add(1);
}
inline std::function<void()> emulated_at_system_fence;  // What happens meanwhile.
inline void __threadfence_system() {
  __threadfence();
  if (emulated_at_system_fence) emulated_at_system_fence();
}
inline std::uint32_t atomicAdd(std::uint32_t* at, std::uint32_t value) {
  return std::atomic_ref(*at).fetch_add(value);
}
inline std::uint32_t atomicExch(std::uint32_t* at, std::uint32_t value) {
  return std::atomic_ref(*at).exchange(value);
}
template <typename T>
T __shfl_sync(std::uint32_t, T value, std::uint32_t lane) {
  static_assert(sizeof(T) <= sizeof(std::uint32_t));
  EmulatedWarp& warp = *emulated_warp;
  std::memcpy(&warp.values[threadIdx.x % EmulatedWarp::kThreads], &value, sizeof(T));
  __syncwarp();
  T got;
  std::memcpy(&got, &warp.values[lane % EmulatedWarp::kThreads], sizeof(T));
  __syncwarp();
  return got;
}
template <typename T>
T __shfl_down_sync(std::uint32_t mask, T value, std::uint32_t by) {
  const std::uint32_t lane = threadIdx.x % EmulatedWarp::kThreads;
  return __shfl_sync(mask, value, lane + by < EmulatedWarp::kThreads ? lane + by : lane);
}
inline std::uint32_t __funnelshift_r(std::uint32_t low, std::uint32_t high, std::uint32_t bits) {
  return static_cast<std::uint32_t>((std::uint64_t{high} << 32 | low) >> bits % 32);
}
template <typename T>
T __ldcs(const T* at) {
  return *at;
}
template <typename T>
void __stcs(T* at, T value) {
  *at = value;
}

// Runs a kernel to its end. `threads` of a block: a multiple of a warp's.
template <typename Kernel, typename Arguments>
void emulate_launch(Kernel kernel, std::uint32_t blocks, std::uint32_t threads,
                    const Arguments& arguments) {
  std::deque<EmulatedWarp> warps(blocks * threads / EmulatedWarp::kThreads);
  std::deque<std::barrier<>> block_barriers;
  std::barrier<> cluster(blocks * threads);
  std::vector<std::jthread> running;
  for (std::uint32_t block = 0; block < blocks; ++block) {
    std::barrier<>& barrier = block_barriers.emplace_back(threads);
    for (std::uint32_t thread = 0; thread < threads; ++thread) {
      EmulatedWarp& warp = warps[(block * threads + thread) / EmulatedWarp::kThreads];
      running.emplace_back([=, &barrier, &warp, &cluster, &arguments] {
        threadIdx.x = thread;
        blockIdx.x = block;
        blockDim.x = threads;
        gridDim.x = blocks;
        emulated_warp = &warp;
        emulated_block = &barrier;
        emulated_cluster = &cluster;
        kernel(arguments);
      });
    }
  }
}

}  // namespace sluice
