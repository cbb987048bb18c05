// libcuda.so.1 for machines without a GPU: eight GPUs whose memory is the host's, with streams that
// are threads, and in place of kernels plain C++ that does the same. It has the calls of
// src/gpu/cuda_driver.h, so all of CudaGpu runs on it but for the kernels, asynchronous as on GPUs.
//
// CUDA_STANDIN_FAILS_AFTER=N: from the Nth copy or launch on it fails as a GPU does, for good.
#include <cuda.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/crc32c.h"
#include "src/gpu/checksum_pieces.h"
#include "src/gpu/kernel_standin_fixture.h"

#define SLUICE_STANDIN extern "C" __attribute__((visibility("default"))) CUresult

namespace sluice {
namespace {

constexpr int kGpus = 8;
constexpr std::size_t kPageBytes = 4096;

// Work that is done one after the other.
class Stream {
 public:
  Stream() : thread_([this] { run(); }) {}
  ~Stream() {
    add([this] { stop_ = true; });
    thread_.join();
  }
  void add(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }
  [[nodiscard]] bool idle() {
    const std::lock_guard lock(mutex_);
    return jobs_.empty();
  }
  // Until all is done that was there.
  void synchronize() {
    auto reached = std::make_shared<std::promise<void>>();
    add([reached] { reached->set_value(); });
    reached->get_future().wait();
  }

 private:
  void run() {
    while (!stop_) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !jobs_.empty(); });
      const std::function<void()>& job = jobs_.front();
      lock.unlock();
      job();
      lock.lock();
      jobs_.pop_front();
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // The first is being done.
  bool stop_ = false;                       // The thread's own.
  std::thread thread_;
};

// What is known of addresses.
class Memory {
 public:
  // On the host for no gpu.
  void* allocate(std::size_t bytes, int gpu) {
    void* memory = nullptr;
    if (bytes == 0 || ::posix_memalign(&memory, kPageBytes, bytes) != 0) return nullptr;
    const std::lock_guard lock(mutex_);
    blocks_[reinterpret_cast<std::uintptr_t>(memory)] = {bytes, gpu};
    return memory;
  }
  void free(void* memory) {
    {
      const std::lock_guard lock(mutex_);
      blocks_.erase(reinterpret_cast<std::uintptr_t>(memory));
    }
    std::free(memory);
  }
  static constexpr int kHost = -1;
  static constexpr int kUnknown = -2;
  [[nodiscard]] int gpu_of(std::uintptr_t address) {
    const std::lock_guard lock(mutex_);
    auto after = blocks_.upper_bound(address);
    if (after == blocks_.begin()) return kUnknown;
    const auto& [base, block] = *--after;
    return address < base + block.bytes ? block.gpu : kUnknown;
  }

 private:
  struct Block {
    std::size_t bytes;
    int gpu;
  };
  std::mutex mutex_;
  std::map<std::uintptr_t, Block> blocks_;
};

using Launch = void (*)(const void* arguments);

void launch_copies(const void* parameters) {
  const auto& arguments = *static_cast<const CopyArguments*>(parameters);
  KernelStandIn launch(arguments);
  launch.begin();
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::nanoseconds(arguments.linger_ns);
  const auto stays = [until] {
    std::this_thread::yield();
    return std::chrono::steady_clock::now() < until;
  };
  launch.linger(stays, copy_as_the_kernel_does);
  launch.work_to_the_end(copy_as_the_kernel_does, [] {});
  launch.finish();
}

void launch_checksums(const void* parameters) {
  const auto& arguments = *static_cast<const ChecksumArguments*>(parameters);
  ChecksumSum* const sums = arguments.state->sums;
  const auto take = [sums](const ChecksumUnit& unit) {
    const std::span bytes(static_cast<const std::byte*>(unit.from), unit.length);
    sums[unit.sum].remainder ^= crc32c_shifted(crc32c_remainder(bytes), unit.behind);
    if (unit.into != nullptr) sums[unit.sum].into = unit.into;
  };
  const auto write_remainders = [sums] {
    for (std::uint32_t i = 0; i < kSums; ++i) {
      if (sums[i].into != nullptr) *sums[i].into = sums[i].remainder;
      if (sums[i].into != nullptr) sums[i] = {};
    }
  };
  KernelStandIn launch(arguments);
  launch.begin();
  launch.work_to_the_end(take, write_remainders);
  launch.finish();
}

struct Kernel {
  const char* name;
  std::size_t argument_bytes;
  Launch launch;
};
constexpr Kernel kKernels[] = {
    {"copy_pieces", sizeof(CopyArguments), launch_copies},
    {"copy_pieces_lingering", sizeof(CopyArguments), launch_copies},
    {"checksum_pieces", sizeof(ChecksumArguments), launch_checksums},
};

struct Driver {
  Memory memory;
  std::array<char, kGpus> contexts{};  // The address of one is what a context is.
  std::atomic<std::uint64_t> started{0};
  const std::uint64_t fails_after = [] {
    const char* const text = std::getenv("CUDA_STANDIN_FAILS_AFTER");
    return text == nullptr ? std::numeric_limits<std::uint64_t>::max()
                           : std::strtoull(text, nullptr, 10);
  }();

  std::mutex streams_mutex;
  std::set<Stream*> streams;

  [[nodiscard]] bool failed() const { return started >= fails_after; }
  // As a driver does before memory that a GPU reaches is freed.
  void synchronize() {
    const std::lock_guard lock(streams_mutex);
    for (Stream* const stream : streams) stream->synchronize();
  }
  // Counts it, and starts it unless the GPU has failed.
  CUresult start(CUstream stream, std::function<void()> job) {
    if (++started >= fails_after) return CUDA_ERROR_ILLEGAL_ADDRESS;
    reinterpret_cast<Stream*>(stream)->add(std::move(job));
    return CUDA_SUCCESS;
  }
};

Driver& driver() {
  static auto* const only = new Driver;  // Whoever unloads last may still use it.
  return *only;
}

thread_local std::vector<CUcontext> current;

void* host(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

int gpu_of(CUcontext context) {
  return static_cast<int>(reinterpret_cast<char*>(context) - driver().contexts.data());
}

CUresult failed_or_good() { return driver().failed() ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS; }

}  // namespace
}  // namespace sluice

using namespace sluice;  // NOLINT: what follows is the driver's interface.

SLUICE_STANDIN cuInit(unsigned) { return CUDA_SUCCESS; }
SLUICE_STANDIN cuDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuGetErrorName(CUresult result, const char** name) {
  *name = result == CUDA_ERROR_ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR";
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuGetErrorString(CUresult, const char** text) {
  *text = "told by the stand-in";
  return CUDA_SUCCESS;
}

SLUICE_STANDIN cuDeviceGetCount(int* count) {
  *count = kGpus;
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < kGpus ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
SLUICE_STANDIN cuDeviceGetName(char* name, int bytes, CUdevice) {
  std::snprintf(name, static_cast<std::size_t>(bytes), "stand-in for a GPU");
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  *value = attribute == CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS ? 1 : 0;
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuDeviceGetPCIBusId(char* text, int bytes, CUdevice device) {
  std::snprintf(text, static_cast<std::size_t>(bytes), "0000:%02x:00.0", device);
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  *context = reinterpret_cast<CUcontext>(&driver().contexts.at(static_cast<std::size_t>(device)));
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }

SLUICE_STANDIN cuCtxPushCurrent(CUcontext context) {
  current.push_back(context);
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuCtxPopCurrent(CUcontext* context) {
  if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  *context = current.back();
  current.pop_back();
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuCtxSetCurrent(CUcontext context) {
  if (!current.empty()) current.pop_back();
  if (context != nullptr) current.push_back(context);
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuCtxGetDevice(CUdevice* device) {
  if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  *device = gpu_of(current.back());
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuCtxGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return CUDA_SUCCESS;
}

SLUICE_STANDIN cuModuleLoadData(CUmodule* module, const void* image) {
  *module = static_cast<CUmodule>(const_cast<void*>(image));
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
SLUICE_STANDIN cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
  for (const Kernel& kernel : kKernels) {
    if (std::string_view(name) != kernel.name) continue;
    *function = reinterpret_cast<CUfunction>(const_cast<Kernel*>(&kernel));
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}
SLUICE_STANDIN cuLaunchKernelEx(const CUlaunchConfig* shape, CUfunction function, void** parameters,
                                void**) {
  const auto& kernel = *reinterpret_cast<const Kernel*>(function);
  auto arguments = std::make_shared<std::vector<std::byte>>(kernel.argument_bytes);
  std::memcpy(arguments->data(), parameters[0], kernel.argument_bytes);
  return driver().start(shape->hStream, [&kernel, arguments] { kernel.launch(arguments->data()); });
}

SLUICE_STANDIN cuOccupancyMaxActiveClusters(int* clusters, CUfunction, const CUlaunchConfig*) {
  *clusters = 2;
  return CUDA_SUCCESS;
}

SLUICE_STANDIN cuStreamCreateWithPriority(CUstream* stream, unsigned, int) {
  auto* const made = new Stream;
  const std::lock_guard lock(driver().streams_mutex);
  driver().streams.insert(made);
  *stream = reinterpret_cast<CUstream>(made);
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuStreamDestroy(CUstream stream) {
  auto* const destroyed = reinterpret_cast<Stream*>(stream);
  {
    const std::lock_guard lock(driver().streams_mutex);
    driver().streams.erase(destroyed);
  }
  delete destroyed;
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuStreamQuery(CUstream stream) {
  if (driver().failed()) return CUDA_ERROR_ILLEGAL_ADDRESS;
  return reinterpret_cast<Stream*>(stream)->idle() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
SLUICE_STANDIN cuStreamSynchronize(CUstream stream) {
  reinterpret_cast<Stream*>(stream)->synchronize();
  return failed_or_good();
}
SLUICE_STANDIN cuStreamWriteValue64(CUstream stream, CUdeviceptr at, cuuint64_t value, unsigned) {
  return driver().start(stream, [at, value] {
    std::atomic_ref(*static_cast<std::uint64_t*>(host(at))).store(value);
  });
}

SLUICE_STANDIN cuMemAlloc(CUdeviceptr* address, std::size_t bytes) {
  if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  void* const memory = driver().memory.allocate(bytes, gpu_of(current.back()));
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return memory == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}
SLUICE_STANDIN cuMemFree(CUdeviceptr address) {
  driver().synchronize();
  driver().memory.free(host(address));
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  *memory = driver().memory.allocate(bytes, Memory::kHost);
  return *memory == nullptr ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}
SLUICE_STANDIN cuMemFreeHost(void* memory) {
  driver().synchronize();
  driver().memory.free(memory);
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuMemHostRegister(void*, std::size_t, unsigned) { return CUDA_SUCCESS; }
SLUICE_STANDIN cuMemHostUnregister(void*) {
  driver().synchronize();
  return CUDA_SUCCESS;
}
SLUICE_STANDIN cuMemcpy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
  std::memcpy(host(to), host(from), bytes);
  return failed_or_good();
}
SLUICE_STANDIN cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return driver().start(stream, [=] { std::memcpy(host(to), host(from), bytes); });
}
SLUICE_STANDIN cuMemsetD8Async(CUdeviceptr at, unsigned char value, std::size_t bytes,
                               CUstream stream) {
  return driver().start(stream, [=] { std::memset(host(at), value, bytes); });
}
SLUICE_STANDIN cuPointerGetAttribute(void* value, CUpointer_attribute attribute,
                                     CUdeviceptr address) {
  const int gpu = driver().memory.gpu_of(address);
  if (gpu == Memory::kUnknown) return CUDA_ERROR_INVALID_VALUE;
  if (attribute == CU_POINTER_ATTRIBUTE_MEMORY_TYPE) {
    *static_cast<unsigned*>(value) =
        gpu == Memory::kHost ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
  } else {
    *static_cast<int*>(value) = gpu;
  }
  return CUDA_SUCCESS;
}
