// The measuring part of bench_gpu: work to copy or to take checksums of, and each way of having it
// done, timed.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/gpu/copy_pieces.h"
#include "src/gpu/cuda_driver.h"
#include "src/gpu/cuda_gpu.h"

namespace sluice::bench {

enum class Place : std::uint8_t { kDevice, kPinned };

// Fragments at shuffled places of a pool, and where they go.
struct Work {
  std::span<const std::byte> pool;
  std::span<std::byte> destination;
  std::vector<Fragment> fragments;
  std::uint64_t bytes = 0;
};

// Checksums of the same number of bytes each, their pieces at shuffled places.
struct Sums {
  std::vector<std::span<const std::byte>> pieces;  // Of all.
  std::vector<Checksum> batch;
  std::uint64_t bytes = 0;
};

struct Latency {
  double p50 = 0;
  double p99 = 0;
};

class Bench {
 public:
  static Result<std::unique_ptr<Bench>> create(std::uint32_t gpu, const std::string& json);
  ~Bench();

  Work work(Place from, Place to, std::size_t bytes, std::size_t fragment);
  Sums sums(Place from, std::size_t checksums, std::size_t bytes, std::size_t piece);

  // Of one unpack() of the work, or one checksum(), at a time.
  Latency latencies_us(CudaGpuOptions options, const Work& work);
  Latency latencies_us(CudaGpuOptions options, const Sums& sums);
  // Of one after the other, two in flight; the median of five rounds.
  double gbytes_per_s(CudaGpuOptions options, const Work& work);
  double gbytes_per_s(CudaGpuOptions options, const Sums& sums);
  // Of the kernel alone, its list made beforehand: what the GPU can, whatever the host.
  double kernel_gbytes_per_s(std::uint32_t blocks, const Work& work);
  // The same bytes by cuMemcpyBatchAsync; 0 where the driver has none.
  double batched_gbytes_per_s(const Work& work);
  // Host time that a piece of the last bandwidth cost to start.
  [[nodiscard]] double host_us_a_piece() const { return host_us_a_piece_; }
  // Of a launch of the kernel that has nothing to copy: what every launch costs here.
  Latency empty_launch_us();

  using Texts = std::vector<std::pair<std::string, std::string>>;
  using Numbers = std::vector<std::pair<std::string, double>>;
  void report(const std::string& name, const Texts& what, const Numbers& figures);
  [[nodiscard]] bool good() const { return good_; }

 private:
  explicit Bench(CudaDriver driver) : driver_(std::move(driver)) {}
  Status open(std::uint32_t gpu, const std::string& json);
  bool must(CUresult result, const char* what);
  bool find_kernel(const unsigned char* fatbin, const char* name, CUfunction& kernel);
  using Start = std::function<std::uint64_t(Gpu&)>;  // Returns its ticket.
  Latency latencies_of(CudaGpuOptions options, const Start& start_one);
  double rate_of(CudaGpuOptions options, std::uint64_t bytes, std::size_t pieces,
                 const Start& start_one);
  bool launch_copy_pieces(CopyArguments& arguments, std::uint32_t blocks);
  std::unique_ptr<Gpu> gpu_for(CudaGpuOptions options);
  void wait(Gpu& gpu, std::uint64_t ticket);

  static constexpr std::size_t kMostBytes = 256 << 20;

  CudaDriver driver_;
  std::uint32_t index_ = 0;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  CUfunction copy_pieces_ = nullptr;
  std::unique_ptr<Gpu> memory_gpu_;
  GpuMemory device_[2], pinned_[2], control_;
  CUdeviceptr state_ = 0;
  std::FILE* json_ = nullptr;
  double host_us_a_piece_ = 0;
  bool good_ = true;
};

}  // namespace sluice::bench
