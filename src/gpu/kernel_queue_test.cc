#include "src/gpu/kernel_queue.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "src/gpu/emulated_cuda_fixture.h"
#include "tests/support/sanitized.h"
// After what it takes from CUDA.
#include "src/gpu/copy_pieces.cu"

namespace sluice {
namespace {

// Who does what is launched: the kernel itself, emulated, or a few lines that do the same faster.
enum class By { kKernel, kStandIn };

// A driver with one stream, which a thread works through: launches one after the other, which may
// have to wait for an SM before they begin.
class FakeGpu {
 public:
  explicit FakeGpu(By by) : by_(by) {
    current = this;
    thread_ = std::thread([this] { run(); });
  }
  ~FakeGpu() {
    add([this] { stop_ = true; });
    thread_.join();
    current = nullptr;
  }

  [[nodiscard]] CudaContext context(const Clock& clock) const {
    CudaContext cuda{.driver = {}, .clock = clock};
    CudaDriver& driver = cuda.driver;
    driver.cuCtxGetStreamPriorityRange = [](int*, int*) { return CUDA_SUCCESS; };
    driver.cuStreamCreateWithPriority = [](CUstream* stream, unsigned, int) {
      *stream = reinterpret_cast<CUstream>(current);
      return CUDA_SUCCESS;
    };
    driver.cuStreamDestroy = [](CUstream) { return CUDA_SUCCESS; };
    driver.cuStreamSynchronize = [](CUstream) { return current->synchronize(); };
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
    driver.cuStreamWriteValue64 = [](CUstream, CUdeviceptr flag, cuuint64_t value, unsigned) {
      current->add([flag, value] { tell(reinterpret_cast<std::uint64_t*>(flag), value); });
      return CUDA_SUCCESS;
    };
    driver.cuLaunchKernel = [](CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned,
                               unsigned, unsigned, CUstream, void** parameters, void**) {
      current->launch(*static_cast<CopyArguments*>(parameters[0]));
      return CUDA_SUCCESS;
    };
    cuda.writes_flags = true;
    return cuda;
  }

  // Somebody else's kernel has every SM, or no longer.
  void keep_sms(bool keep) {
    const std::lock_guard lock(mutex_);
    kept_ = keep;
    changed_.notify_all();
  }
  // Launches that were not begun, or are running.
  [[nodiscard]] std::size_t launches_under_way() const { return launches_ - launches_done_; }
  [[nodiscard]] std::size_t launches() const { return launches_; }
  [[nodiscard]] std::size_t units() const { return units_; }

 private:
  static void tell(std::uint64_t* flag, std::uint64_t value) {
    std::atomic_ref(*flag).store(value, std::memory_order_seq_cst);
  }

  void launch(const CopyArguments& arguments) {
    ++launches_;
    add([this, arguments] {
      wait_for_sm();
      if (by_ == By::kKernel) {
        emulate_launch(copy_pieces, 1, kLanes, arguments);
        ++launches_done_;
      } else {
        work(arguments);
      }
    });
  }

  // As launch.cuh has it.
  void work(const CopyArguments& arguments) {
    LaunchState& state = *arguments.state;
    std::uint64_t progress = arguments.progress;
    if (arguments.posted != nullptr) {
      progress = std::atomic_ref(*const_cast<std::uint64_t*>(arguments.posted)).load();
    }
    std::uint32_t first = arguments.first;
    std::uint32_t count = arguments.count;
    if (arguments.is_known == 0) {
      first = state.done;
      const auto left = static_cast<std::int32_t>(units_of(progress) - first);
      count = left > 0 ? static_cast<std::uint32_t>(left) : 0;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      const CopyUnit& unit = arguments.units == nullptr
                                 ? arguments.inline_units[i]
                                 : arguments.units[(first + i) & arguments.mask];
      std::memcpy(reinterpret_cast<void*>(unit.to()), reinterpret_cast<void*>(unit.from()),
                  unit.length());
    }
    units_ += count;
    if (random_() % 4 == 0) std::this_thread::yield();
    state.done = first + count;
    auto* const flags = const_cast<std::uint64_t*>(arguments.flags);
    tell(&flags[0], progress);
    ++launches_done_;
    tell(&flags[1], arguments.launch);
  }

  void wait_for_sm() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !kept_; });
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

  static FakeGpu* current;  // What the driver's functions, which carry nothing, mean.

  const By by_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool kept_ = false;
  std::atomic<std::size_t> launches_{0};
  std::atomic<std::size_t> launches_done_{0};
  std::atomic<std::size_t> units_{0};
  bool stop_ = false;  // The thread's own.
  std::minstd_rand random_{1};
  std::thread thread_;
};

FakeGpu* FakeGpu::current = nullptr;

struct Case {
  const char* name;
  Lists lists;
  By by = By::kStandIn;
};

class KernelQueueTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { ASSERT_TRUE(queue_.open(nullptr)); }

  // A piece of work that copies the next `count` numbers.
  std::uint64_t give(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i, ++given_) {
      queue_.add_unit({&from_[given_], &to_[given_], sizeof(std::uint64_t)});
    }
    return queue_.finish();
  }
  // It clears what it finds: what is copied once more is found at the end.
  void expect_copied(std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      ASSERT_EQ(to_[i], from_[i]) << i;
      to_[i] = 0;
    }
  }
  void expect_all_cleared() {
    for (std::size_t i = 0; i < to_.size(); ++i) ASSERT_EQ(to_[i], 0u) << i << " of " << given_;
  }
  void wait_for(std::uint64_t number) {
    while (!queue_.done(number)) std::this_thread::yield();
  }
  void make_numbers(std::size_t count) {
    from_.resize(count);
    to_.assign(count, 0);
    for (std::size_t i = 0; i < count; ++i) from_[i] = i + 1;
  }
  void keep_a_window_full(std::size_t work);
  [[nodiscard]] bool may_open() const { return GetParam().lists == Lists::kOpenIfCrowded; }

  ManualClock clock_;
  FakeGpu gpu_{GetParam().by};
  CudaContext cuda_ = gpu_.context(clock_);
  KernelQueue<CopyArguments> queue_{cuda_, 4, GetParam().lists};
  std::vector<std::uint64_t> from_;
  std::vector<std::uint64_t> to_;
  std::size_t given_ = 0;
};

// The GPU is now faster and now slower than what comes, and crowded now and then: work is never
// lost nor done twice, and is there when it is told to be.
void KernelQueueTest::keep_a_window_full(std::size_t work) {
  constexpr std::size_t kWindow = 40;
  constexpr std::uint32_t kMost = 6;
  make_numbers(work * kMost);
  std::minstd_rand random(2);
  struct Given {
    std::uint64_t number;
    std::size_t first, count;
  };
  std::deque<Given> window;
  std::uint64_t numbers = 0;
  const auto reap = [&] {
    gpu_.keep_sms(false);
    wait_for(window.front().number);
    expect_copied(window.front().first, window.front().count);
    window.pop_front();
  };
  for (std::size_t i = 0; i < work && !HasFatalFailure(); ++i) {
    if (random() % 64 == 0) gpu_.keep_sms(true);
    clock_.advance(from_us(random() % 512 == 0 ? 20'000 : random() % 64));
    if (window.size() == kWindow) reap();
    const auto count = static_cast<std::uint32_t>(1 + random() % kMost);
    const std::size_t first = given_;
    window.push_back({give(count), first, count});
    ASSERT_EQ(window.back().number, ++numbers);
    if (random() % 64 == 0) {
      while (!window.empty() && !HasFatalFailure()) reap();
    }
  }
  while (!window.empty() && !HasFatalFailure()) reap();
  queue_.wait();
  expect_all_cleared();
  EXPECT_LE(gpu_.launches(), may_open() ? work * 9 / 10 : work);
}

// Three times around the ring.
TEST_P(KernelQueueTest, NothingIsLostBetweenLaunches) { keep_a_window_full(30'000); }

TEST_P(KernelQueueTest, APieceOfWorkMayBeLongerThanTheRing) {
  constexpr std::uint32_t kUnits = 100'000;
  make_numbers(kUnits + 1);
  wait_for(give(1));
  wait_for(give(kUnits));
  expect_copied(0, kUnits + 1);
  queue_.wait();
  EXPECT_EQ(gpu_.units(), kUnits + 1);
}

// While somebody's kernel has all SMs, and this is known, what comes needs one launch more; of
// lists that are always closed each piece of work has its own.
TEST_P(KernelQueueTest, AnOpenListTakesWhatComesWhileLaunchesWait) {
  constexpr std::size_t kWork = 100;
  make_numbers(2 + kWork);
  gpu_.keep_sms(true);
  give(1);
  clock_.advance(from_us(90));
  give(1);
  EXPECT_EQ(gpu_.launches_under_way(), 2u);
  clock_.advance(from_us(20));
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < kWork; ++i) last = give(1);
  EXPECT_EQ(gpu_.launches_under_way(), 2 + (may_open() ? 1 : kWork));
  EXPECT_FALSE(queue_.done(1));
  gpu_.keep_sms(false);
  wait_for(last);
  expect_copied(0, 2 + kWork);
  queue_.wait();
  EXPECT_EQ(gpu_.units(), 2 + kWork);
}

// A GPU that is only busy is not crowded, and one that was, is no longer after a while.
TEST_P(KernelQueueTest, ListsAreClosedAgainWhenLaunchesDoNotWait) {
  make_numbers(100);
  gpu_.keep_sms(true);
  give(1);
  clock_.advance(from_us(200));
  for (int i = 0; i < 3; ++i) give(1);
  EXPECT_EQ(gpu_.launches_under_way(), may_open() ? 2u : 4u);
  gpu_.keep_sms(false);
  queue_.wait();
  clock_.advance(from_ms(5));
  gpu_.keep_sms(true);
  for (int i = 0; i < 5; ++i) give(1);  // Still taken to be crowded.
  EXPECT_EQ(gpu_.launches_under_way(), may_open() ? 2u : 5u);
  gpu_.keep_sms(false);
  queue_.wait();
  clock_.advance(from_ms(11));
  gpu_.keep_sms(true);
  for (int i = 0; i < 5; ++i) give(1);
  EXPECT_EQ(gpu_.launches_under_way(), 5u);
  gpu_.keep_sms(false);
  queue_.wait();
  expect_copied(0, given_);
  EXPECT_EQ(gpu_.units(), given_);
}

std::string name_of(const testing::TestParamInfo<Case>& tested) { return tested.param.name; }

INSTANTIATE_TEST_SUITE_P(Both, KernelQueueTest,
                         testing::Values(Case{"open_if_crowded", Lists::kOpenIfCrowded},
                                         Case{"closed", Lists::kClosed}),
                         name_of);

class WithItsKernel : public KernelQueueTest {};

TEST_P(WithItsKernel, NothingIsLostBetweenLaunches) {
  if (kThreadSanitizer) GTEST_SKIP() << "which knows no fences and no volatile words";
  keep_a_window_full(1000);
}

INSTANTIATE_TEST_SUITE_P(KernelQueue, WithItsKernel,
                         testing::Values(Case{"open_if_crowded", Lists::kOpenIfCrowded,
                                              By::kKernel}),
                         name_of);

}  // namespace
}  // namespace sluice
