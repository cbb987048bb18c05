#include "src/gpu/kernel_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "src/gpu/emulated_cuda_fixture.h"
#include "src/gpu/fake_gpu_fixture.h"
#include "tests/support/sanitized.h"
// After what it takes from CUDA.
#include "src/gpu/copy_pieces.cu"

namespace sluice {
namespace {

struct Case {
  const char* name;
  Lists lists;
  Nanoseconds linger = 0;
  FakeGpu::Kernel kernel = nullptr;
};

class KernelQueueTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    cuda_.linger = GetParam().linger;
    ASSERT_TRUE(queue_.open(nullptr));
  }

  // A piece of work that copies the next `count` numbers.
  std::uint64_t give(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i, ++given_) {
      queue_.add_unit({&from_[given_], &to_[given_], sizeof(std::uint64_t)});
    }
    const std::size_t last = given_ - 1;
    if (count != 1) return queue_.finish({}, true);
    return queue_.finish({reinterpret_cast<std::uint64_t>(&from_[last]),
                          reinterpret_cast<std::uint64_t>(&to_[last]), sizeof(std::uint64_t)},
                         true);
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
  [[nodiscard]] bool may_open() const { return GetParam().lists == Lists::kMayBeOpen; }
  [[nodiscard]] bool lingers() const { return GetParam().linger > 0; }

  ManualClock clock_;
  FakeGpu gpu_{GetParam().kernel};
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
  if (GetParam().kernel == nullptr) {
    EXPECT_EQ(gpu_.units(), given_);
  }
  if (may_open()) {
    EXPECT_LT(gpu_.launches(), work * 9 / 10);
  } else {
    EXPECT_EQ(gpu_.launches(), work);
  }
  EXPECT_EQ(gpu_.lingering() > 0, lingers());
}

// Three times around the ring.
TEST_P(KernelQueueTest, NothingIsLostBetweenLaunches) { keep_a_window_full(30'000); }

// Also while launches wait: then nothing is launched for what no place is left for.
TEST_P(KernelQueueTest, APieceOfWorkMayBeLongerThanTheRing) {
  constexpr std::uint32_t kUnits = 100'000;
  make_numbers(2 + kUnits);
  gpu_.keep_sms(true);
  give(1);
  clock_.advance(from_ms(1));
  give(1);
  std::thread other([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    gpu_.keep_sms(false);
  });
  wait_for(give(kUnits));
  other.join();
  expect_copied(0, 2 + kUnits);
  queue_.wait();
  EXPECT_EQ(gpu_.units(), 2 + kUnits);
}

// While somebody's kernel has all SMs, and this is known, what comes needs one launch more; of
// lists that are always closed each piece of work has its own, and one that is to linger takes all.
TEST_P(KernelQueueTest, AnOpenListTakesWhatComesWhileLaunchesWait) {
  constexpr std::size_t kWork = 100;
  make_numbers(2 + kWork);
  gpu_.keep_sms(true);
  give(1);
  clock_.advance(from_us(90));
  give(1);
  EXPECT_EQ(gpu_.launches_under_way(), lingers() ? 1u : 2u);
  clock_.advance(from_us(20));
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < kWork; ++i) last = give(1);
  EXPECT_EQ(gpu_.launches_under_way(), lingers() ? 1 : may_open() ? 3 : 2 + kWork);
  EXPECT_FALSE(queue_.done(1));
  gpu_.keep_sms(false);
  wait_for(last);
  expect_copied(0, 2 + kWork);
  queue_.wait();
  EXPECT_EQ(gpu_.units(), 2 + kWork);
}

// To run for long is not to wait.
TEST_P(KernelQueueTest, ALongLaunchDoesNotOpenLists) {
  make_numbers(4);
  gpu_.be_slow(true);
  give(1);
  while (gpu_.launches_begun() < 1) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) {
    clock_.advance(from_ms(1));
    give(1);
  }
  EXPECT_EQ(gpu_.launches_under_way(), lingers() ? 1u : 4u);
  gpu_.be_slow(false);
  queue_.wait();
  expect_copied(0, 4);
}

// A GPU that was crowded is taken to be so for a while.
TEST_P(KernelQueueTest, ListsAreClosedAgainWhenLaunchesDoNotWait) {
  make_numbers(100);
  gpu_.keep_sms(true);
  give(1);
  clock_.advance(from_us(200));
  for (int i = 0; i < 3; ++i) give(1);
  EXPECT_EQ(gpu_.launches_under_way(), lingers() ? 1u : may_open() ? 2u : 4u);
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
  EXPECT_EQ(gpu_.launches_under_way(), lingers() ? 1u : 5u);
  gpu_.keep_sms(false);
  queue_.wait();
  expect_copied(0, given_);
  EXPECT_EQ(gpu_.units(), given_);
}

// Work that comes one piece after the other finds the launch of the first.
TEST_P(KernelQueueTest, ALaunchThatLingersTakesWhatComes) {
  constexpr std::size_t kWork = 100;
  make_numbers(kWork + 1);
  gpu_.keep_lingering(true);
  for (std::size_t i = 0; i < kWork; ++i) wait_for(give(1));
  EXPECT_EQ(gpu_.launches(), lingers() ? 1u : kWork);
  gpu_.keep_lingering(false);
  queue_.wait();
  wait_for(give(1));  // It has left.
  EXPECT_EQ(gpu_.launches(), lingers() ? 2u : kWork + 1);
  expect_copied(0, kWork + 1);
}

class WhereLaunchesLinger : public KernelQueueTest {};

// When there is much to do launches follow each other, and none lingers until all is done.
TEST_P(WhereLaunchesLinger, NothingDoesWhileThereIsMuchToDo) {
  constexpr std::uint32_t kMuch = 300;
  make_numbers(10 * kMuch);
  gpu_.keep_lingering(true);
  wait_for(give(1));
  wait_for(give(kMuch));  // Which asks it to leave.
  queue_.wait();
  EXPECT_EQ(gpu_.launches(), 1u);
  gpu_.keep_sms(true);
  for (int i = 0; i < 4; ++i) give(kMuch);
  give(1);
  EXPECT_EQ(gpu_.launches(), 6u);
  EXPECT_EQ(gpu_.lingering(), 1u);
  gpu_.keep_sms(false);
  queue_.wait();
  wait_for(give(1));
  EXPECT_EQ(gpu_.lingering(), 2u);
  gpu_.keep_lingering(false);
  expect_copied(0, given_);
}

std::string name_of(const testing::TestParamInfo<Case>& tested) { return tested.param.name; }

constexpr Nanoseconds kLinger = from_us(50);
const Case kLingering{"lingering", Lists::kMayBeOpen, kLinger};

INSTANTIATE_TEST_SUITE_P(Lists, KernelQueueTest,
                         testing::Values(Case{"open_if_crowded", Lists::kMayBeOpen}, kLingering,
                                         Case{"closed", Lists::kClosed}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Lists, WhereLaunchesLinger, testing::Values(kLingering), name_of);

class WithItsKernel : public KernelQueueTest {};

TEST_P(WithItsKernel, NothingIsLostBetweenLaunches) {
  if (kThreadSanitizer) GTEST_SKIP() << "which knows no fences and no volatile words";
  keep_a_window_full(1000);
}

void run_kernel(const CopyArguments& arguments) {
  if (arguments.linger_ns > 0) {
    emulate_launch(copy_pieces_lingering, 2, kLanes, arguments);
  } else {
    emulate_launch(copy_pieces, 1, kLanes, arguments);
  }
}

INSTANTIATE_TEST_SUITE_P(Lists, WithItsKernel,
                         testing::Values(Case{"open_if_crowded", Lists::kMayBeOpen, 0, run_kernel},
                                         Case{"lingering", Lists::kMayBeOpen, kLinger, run_kernel}),
                         name_of);

}  // namespace
}  // namespace sluice
