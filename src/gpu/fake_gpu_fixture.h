// A CUDA driver of the tests' own, for what stands directly on it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "src/base/clock.h"
#include "src/gpu/kernel_queue.h"
#include "src/gpu/kernel_standin_fixture.h"

namespace sluice {

// A driver with one stream, which a thread works through: launches one after the other, which may
// have to wait for an SM before they begin.
class FakeGpu {
 public:
  using Kernel = std::function<void(const CopyArguments&)>;

  // `kernel`: what runs at a launch; nullptr is a stand-in that does the same, faster.
  explicit FakeGpu(Kernel kernel = nullptr) : kernel_(std::move(kernel)) {
    current = this;
    thread_ = std::thread([this] { run(); });
  }
  ~FakeGpu() {
    add([this] { stop_ = true; });
    thread_.join();
    current = nullptr;
  }

  // `writes_flags`: its streams do.
  [[nodiscard]] CudaContext context(const Clock& clock, bool writes_flags = true) const {
    CudaContext cuda{.driver = {}, .clock = clock};
    CudaDriver& driver = cuda.driver;
    driver.cuCtxGetStreamPriorityRange = [](int*, int*) { return CUDA_SUCCESS; };
    driver.cuStreamCreateWithPriority = [](CUstream* stream, unsigned, int) {
      *stream = reinterpret_cast<CUstream>(current);
      return CUDA_SUCCESS;
    };
    const auto say = [](CUresult, const char** text) {
      *text = "told by the test";
      return CUDA_SUCCESS;
    };
    driver.cuGetErrorName = say;
    driver.cuGetErrorString = say;
    driver.cuStreamDestroy = [](CUstream) { return CUDA_SUCCESS; };
    driver.cuStreamSynchronize = [](CUstream) { return current->synchronize(); };
    driver.cuStreamQuery = [](CUstream) { return CUDA_ERROR_NOT_READY; };
    driver.cuMemAlloc = [](CUdeviceptr* base, std::size_t bytes) {
      *base = reinterpret_cast<CUdeviceptr>(std::malloc(bytes));
      return CUDA_SUCCESS;
    };
    driver.cuMemFree = [](CUdeviceptr base) {
      std::free(reinterpret_cast<void*>(base));
      return CUDA_SUCCESS;
    };
    driver.cuMemHostAlloc = [](void** base, std::size_t bytes, unsigned) {
      *base = std::malloc(bytes);
      return CUDA_SUCCESS;
    };
    driver.cuMemFreeHost = [](void* base) {
      std::free(base);
      return CUDA_SUCCESS;
    };
    driver.cuMemsetD8Async = [](CUdeviceptr base, unsigned char value, std::size_t bytes,
                                CUstream) {
      std::memset(reinterpret_cast<void*>(base), value, bytes);
      return CUDA_SUCCESS;
    };
    driver.cuMemcpyAsync = [](CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream) {
      if (current->fail_copies_) return CUDA_ERROR_INVALID_VALUE;
      current->add([=] {
        std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
        ++current->copies_;
      });
      return CUDA_SUCCESS;
    };
    driver.cuStreamWriteValue64 = [](CUstream, CUdeviceptr flag, cuuint64_t value, unsigned) {
      current->add(
          [flag, value] { std::atomic_ref(*reinterpret_cast<std::uint64_t*>(flag)).store(value); });
      return CUDA_SUCCESS;
    };
    driver.cuLaunchKernelEx = [](const CUlaunchConfig*, CUfunction, void** parameters, void**) {
      current->launch(*static_cast<CopyArguments*>(parameters[0]));
      return CUDA_SUCCESS;
    };
    cuda.writes_flags = writes_flags;
    return cuda;
  }

  // Somebody else's kernel has every SM, or no longer.
  void keep_sms(bool keep) { set(kept_, keep); }
  // A launch that has begun does not come to its end.
  void be_slow(bool slow) { set(is_slow_, slow); }
  // Launches that were not begun, or are running.
  [[nodiscard]] std::size_t launches_under_way() const { return launches_ - launches_done_; }
  [[nodiscard]] std::size_t launches_begun() const { return launches_begun_; }
  [[nodiscard]] std::size_t launches() const { return launches_; }
  [[nodiscard]] std::size_t lingering() const { return lingering_; }  // Of these.
  // Launches that linger stay, or no longer.
  void keep_lingering(bool keep) { keeps_lingering_ = keep; }
  // By the stand-in.
  [[nodiscard]] std::size_t units() const { return units_; }
  [[nodiscard]] std::size_t run_units() const { return run_units_; }  // Of these.
  [[nodiscard]] std::size_t copies() const { return copies_; }
  void fail_copies() { fail_copies_ = true; }

 private:
  void launch(const CopyArguments& arguments) {
    ++launches_;
    if (arguments.linger_ns > 0) ++lingering_;
    add([this, arguments] {
      wait_while(kept_);
      if (kernel_ != nullptr) {
        kernel_(arguments);
        ++launches_done_;
      } else {
        work(arguments);
      }
    });
  }

  void work(const CopyArguments& arguments) {
    const auto copy = [this](const CopyUnit& unit) {
      copy_as_the_kernel_does(unit);
      ++units_;
    };
    KernelStandIn launch(arguments);
    launch.begin();
    ++launches_begun_;
    wait_while(is_slow_);
    if (arguments.linger_ns > 0) {
      std::size_t left = 1 + random_() % 16;  // Until it has nothing to do for some time.
      const auto stays = [&] {
        std::this_thread::yield();
        return keeps_lingering_ || left-- > 0;
      };
      launch.linger(stays, copy);
      run_units_ += launch.run_units();
    }
    launch.work_to_the_end(copy, [] {});
    if (random_() % 4 == 0) std::this_thread::yield();
    ++launches_done_;
    launch.finish();
  }

  void set(bool& flag, bool value) {
    const std::lock_guard lock(mutex_);
    flag = value;
    changed_.notify_all();
  }
  void wait_while(const bool& flag) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !flag; });
  }
  void add(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }
  CUresult synchronize() {
    bool reached = false;
    add([&] {
      const std::lock_guard lock(mutex_);
      reached = true;
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reached; });
    return CUDA_SUCCESS;
  }
  void run() {
    while (!stop_) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !jobs_.empty(); });
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
    }
  }

  // What the driver's functions, which carry nothing, mean.
  static inline FakeGpu* current = nullptr;

  const Kernel kernel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool kept_ = false;
  bool is_slow_ = false;
  std::atomic<bool> keeps_lingering_{false};
  std::atomic<std::size_t> launches_{0};
  std::atomic<std::size_t> lingering_{0};
  std::atomic<std::size_t> launches_begun_{0};
  std::atomic<std::size_t> launches_done_{0};
  std::atomic<std::size_t> units_{0};
  std::atomic<std::size_t> run_units_{0};
  std::atomic<std::size_t> copies_{0};
  std::atomic<bool> fail_copies_{false};
  bool stop_ = false;  // The thread's own.
  std::minstd_rand random_{1};
  std::thread thread_;
};

}  // namespace sluice
