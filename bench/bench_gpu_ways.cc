#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>

#include "bench/bench_gpu.h"
#include "src/base/dl.h"
#include "src/gpu/fatbins.h"
#include "src/gpu/kernel_queue.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kLatencies = 1000;
constexpr int kWarm = 100;
constexpr int kRounds = 5;
constexpr std::uint64_t kRoundBytes = 512 << 20;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

Latency percentiles(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {samples[samples.size() / 2], samples[samples.size() * 99 / 100]};
}

double median(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
}

std::vector<CopyUnit> units_of(const Work& work) {
  std::vector<CopyUnit> units;
  for (const Fragment& f : work.fragments) {
    for (std::uint64_t at = 0; at < f.length; at += kLargestUnit) {
      units.emplace_back(work.pool.data() + f.pool_offset + at,
                         work.destination.data() + f.destination_offset + at,
                         std::min(f.length - at, kLargestUnit));
    }
  }
  return units;
}

}  // namespace

Result<std::unique_ptr<Bench>> Bench::create(std::uint32_t gpu, const std::string& json) {
  auto driver = CudaDriver::load();
  if (!driver.ok()) return driver.status();
  std::unique_ptr<Bench> bench(new Bench(driver.take()));
  Status status = bench->open(gpu, json);
  if (!status.ok()) return status;
  return bench;
}

Status Bench::open(std::uint32_t gpu, const std::string& json) {
  index_ = gpu;
  auto opened = open_cuda_gpu({.index = gpu});
  if (!opened.ok()) return opened.status();
  memory_gpu_ = opened.take();
  fmt::print("{}\n", memory_gpu_->description());
  CUdevice device = 0;
  driver_.cuDeviceGet(&device, static_cast<int>(gpu));
  if (!must(driver_.cuDevicePrimaryCtxRetain(&context_, device), "context") ||
      !must(driver_.cuCtxPushCurrent(context_), "current context") ||
      !must(driver_.cuStreamCreateWithPriority(&stream_, CU_STREAM_NON_BLOCKING, 0), "stream") ||
      !find_kernel(kCopyPiecesFatbin, "copy_pieces", copy_pieces_) ||
      !must(driver_.cuMemAlloc(&state_, sizeof(LaunchState)), "a state") ||
      !must(driver_.cuMemsetD8Async(state_, 0, sizeof(LaunchState), stream_), "a state")) {
    return {StatusCode::kSystem, "the kernels cannot be set up"};
  }
  for (int i = 0; i < 2; ++i) {
    auto on_device = memory_gpu_->allocate_device(kMostBytes);
    auto pinned = memory_gpu_->allocate_pinned(kMostBytes);
    if (!on_device.ok()) return on_device.status();
    if (!pinned.ok()) return pinned.status();
    device_[i] = on_device.take();
    pinned_[i] = pinned.take();
    std::memset(pinned_[i].bytes().data(), i + 1, kMostBytes);
  }
  auto control = memory_gpu_->allocate_pinned(16 << 20);
  if (!control.ok()) return control.status();
  control_ = control.take();
  if (!json.empty()) json_ = std::fopen(json.c_str(), "w");
  return {};
}

Bench::~Bench() {
  if (json_ != nullptr) std::fclose(json_);
}

bool Bench::must(CUresult result, const char* what) {
  const Status status = driver_.status(result, what);
  if (status.ok()) return true;
  fmt::print(stderr, "bench_gpu: {}\n", status.message());
  good_ = false;
  return false;
}

bool Bench::find_kernel(const unsigned char* fatbin, const char* name, CUfunction& kernel) {
  CUmodule module = nullptr;
  return must(driver_.cuModuleLoadData(&module, fatbin), name) &&
         must(driver_.cuModuleGetFunction(&kernel, module, name), name);
}

Work Bench::work(Place from, Place to, std::size_t bytes, std::size_t fragment) {
  Work work;
  work.pool = (from == Place::kDevice ? device_[0] : pinned_[0]).bytes();
  work.destination = (to == Place::kDevice ? device_[1] : pinned_[1]).bytes();
  work.bytes = bytes;
  std::vector<std::uint64_t> places(bytes / fragment);
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i * fragment;
  std::shuffle(places.begin(), places.end(), std::mt19937_64(1));
  for (std::size_t i = 0; i < places.size(); ++i) {
    work.fragments.push_back({places[i], fragment, i * fragment});
  }
  return work;
}

std::unique_ptr<Gpu> Bench::gpu_for(CudaGpuOptions options) {
  options.index = index_;
  auto gpu = open_cuda_gpu(options);
  if (gpu.ok()) return gpu.take();
  fmt::print(stderr, "bench_gpu: {}\n", gpu.status().message());
  std::exit(1);
}

void Bench::wait(Gpu& gpu, std::uint64_t ticket) {
  while (true) {
    const GpuAnswer answer = gpu.test(ticket);
    if (answer == GpuAnswer::kDone) return;
    if (answer == GpuAnswer::kPending) continue;
    fmt::print(stderr, "bench_gpu: {}\n", gpu.failure().message());
    std::exit(1);
  }
}

Sums Bench::sums(Place from, std::size_t checksums, std::size_t bytes, std::size_t piece) {
  const Work all = work(from, from, checksums * bytes, piece);
  Sums sums;
  sums.bytes = all.bytes;
  for (const Fragment& f : all.fragments) {
    sums.pieces.push_back(all.pool.subspan(f.pool_offset, f.length));
  }
  auto* const into = reinterpret_cast<std::uint32_t*>(control_.bytes().data());
  const std::size_t count = bytes / piece;
  for (std::size_t i = 0; i < checksums; ++i) {
    sums.batch.push_back({std::span(sums.pieces).subspan(i * count, count), into + i});
  }
  return sums;
}

Latency Bench::latencies_us(CudaGpuOptions options, const Work& work) {
  const Unpack chunk{work.fragments, work.pool, work.destination};
  return latencies_of(options, [&](Gpu& gpu) { return gpu.unpack({&chunk, 1}); });
}

Latency Bench::latencies_us(CudaGpuOptions options, const Sums& sums) {
  return latencies_of(options, [&](Gpu& gpu) { return gpu.checksum(sums.batch); });
}

double Bench::gbytes_per_s(CudaGpuOptions options, const Work& work) {
  const Unpack chunk{work.fragments, work.pool, work.destination};
  return rate_of(options, work.bytes, work.fragments.size(), [&](Gpu& gpu) {
    return gpu.unpack({&chunk, 1});
  });
}

double Bench::gbytes_per_s(CudaGpuOptions options, const Sums& sums) {
  return rate_of(options, sums.bytes, sums.pieces.size(),
                 [&](Gpu& gpu) { return gpu.checksum(sums.batch); });
}

Latency Bench::latencies_of(CudaGpuOptions options, const Start& start_one) {
  const auto gpu = gpu_for(options);
  std::vector<double> samples;
  for (int i = 0; i < kWarm + kLatencies; ++i) {
    const auto start = Clock::now();
    wait(*gpu, start_one(*gpu));
    if (i >= kWarm) samples.push_back(us_since(start));
  }
  return percentiles(std::move(samples));
}

double Bench::rate_of(CudaGpuOptions options, std::uint64_t bytes, std::size_t pieces,
                      const Start& start_one) {
  const auto gpu = gpu_for(options);
  const std::uint64_t batches = std::max<std::uint64_t>(4, kRoundBytes / bytes);
  std::vector<double> rates;
  double host_us = 0;
  wait(*gpu, start_one(*gpu));
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    std::uint64_t before = 0;
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < batches; ++i) {
      if (before != 0) wait(*gpu, before);
      before = last;
      const auto call = Clock::now();
      last = start_one(*gpu);
      host_us += us_since(call);
    }
    wait(*gpu, last);
    rates.push_back(static_cast<double>(bytes * batches) / us_since(start) / 1e3);
  }
  host_us_a_piece_ = host_us / static_cast<double>(batches * kRounds * pieces);
  return median(std::move(rates));
}

bool Bench::launch_copy_pieces(CopyArguments& arguments, std::uint32_t blocks) {
  void* parameters[] = {&arguments};
  const LaunchShape shape(blocks, 1, stream_);
  return must(driver_.cuLaunchKernelEx(&shape.config, copy_pieces_, parameters, nullptr),
              "launching copy_pieces");
}

Latency Bench::empty_launch_us() {
  auto* flags = reinterpret_cast<std::uint64_t*>(control_.bytes().data());
  flags[kProgress] = 0;
  CopyArguments arguments{};
  arguments.state = reinterpret_cast<LaunchState*>(state_);
  arguments.flags = flags;
  arguments.is_known = 1;
  std::vector<double> samples;
  for (std::uint64_t i = 1; i <= kWarm + kLatencies; ++i) {
    const auto start = Clock::now();
    arguments.progress = i;
    if (!launch_copy_pieces(arguments, 1)) return {};
    while (std::atomic_ref(flags[kProgress]).load(std::memory_order_acquire) < i) {
    }
    if (i > kWarm) samples.push_back(us_since(start));
  }
  return percentiles(std::move(samples));
}

double Bench::kernel_gbytes_per_s(std::uint32_t blocks, const Work& work) {
  constexpr int kLaunches = 10;
  std::byte* base = control_.bytes().data();
  auto* units = reinterpret_cast<CopyUnit*>(base + 65536);
  const std::vector<CopyUnit> list = units_of(work);
  std::copy(list.begin(), list.end(), units);
  CopyArguments arguments{};
  arguments.units = units;
  arguments.mask = ~0u;
  arguments.is_known = 1;
  arguments.count = static_cast<std::uint32_t>(list.size());
  arguments.state = reinterpret_cast<LaunchState*>(state_);
  arguments.flags = reinterpret_cast<std::uint64_t*>(base);
  std::vector<double> rates;
  for (int round = 0; round <= kRounds; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < kLaunches; ++i) launch_copy_pieces(arguments, blocks);
    if (!must(driver_.cuStreamSynchronize(stream_), "copy_pieces")) return 0;
    if (round == 0) continue;  // Warm.
    rates.push_back(static_cast<double>(work.bytes * kLaunches) / us_since(start) / 1e3);
  }
  return median(std::move(rates));
}

double Bench::batched_gbytes_per_s(const Work& work) {
  using Batch = CUresult (*)(CUdeviceptr*, CUdeviceptr*, size_t*, size_t, CUmemcpyAttributes*,
                             size_t*, size_t, CUstream);
  auto library = DynamicLibrary::open("libcuda.so.1");
  const auto copy_batch =
      library.ok() ? reinterpret_cast<Batch>(library->symbol("cuMemcpyBatchAsync_v2")) : nullptr;
  host_us_a_piece_ = 0;
  if (copy_batch == nullptr) return 0;
  std::vector<CUdeviceptr> from, to;
  std::vector<std::size_t> lengths;
  for (const Fragment& f : work.fragments) {
    from.push_back(reinterpret_cast<CUdeviceptr>(work.pool.data() + f.pool_offset));
    to.push_back(reinterpret_cast<CUdeviceptr>(work.destination.data() + f.destination_offset));
    lengths.push_back(f.length);
  }
  CUmemcpyAttributes attributes{};
  attributes.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  std::size_t first = 0;
  const std::uint64_t batches = std::max<std::uint64_t>(4, kRoundBytes / work.bytes);
  std::vector<double> rates;
  double host_us = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    for (std::uint64_t i = 0; i < batches; ++i) {
      const auto call = Clock::now();
      const CUresult result = copy_batch(to.data(), from.data(), lengths.data(), lengths.size(),
                                         &attributes, &first, 1, stream_);
      host_us += us_since(call);
      if (!must(result, "cuMemcpyBatchAsync")) return 0;
      if (i % 2 == 1) must(driver_.cuStreamSynchronize(stream_), "a batch");
    }
    if (!must(driver_.cuStreamSynchronize(stream_), "a batch")) return 0;
    rates.push_back(static_cast<double>(work.bytes * batches) / us_since(start) / 1e3);
  }
  host_us_a_piece_ = host_us / static_cast<double>(batches * kRounds * work.fragments.size());
  return median(std::move(rates));
}

void Bench::report(const std::string& name, const Texts& what, const Numbers& figures) {
  std::string line = fmt::format("{:<18}", name);
  std::string json = fmt::format("{{\"measure\": \"{}\"", name);
  for (const auto& [key, value] : what) {
    line += fmt::format(" {}: {:<18}", key, value);
    json += fmt::format(", \"{}\": \"{}\"", key, value);
  }
  for (const auto& [key, value] : figures) {
    line += fmt::format(" {} {:.4g}", key, value);
    json += fmt::format(", \"{}\": {:.6g}", key, value);
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
  if (json_ != nullptr) fmt::print(json_, "{}}}\n", json);
}

}  // namespace sluice::bench
