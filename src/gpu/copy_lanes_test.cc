#include "src/gpu/copy_lanes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <thread>
#include <vector>

#include "src/gpu/fake_gpu_fixture.h"

namespace sluice {
namespace {

constexpr std::size_t kLarge = 512 << 10;  // The copy engine's, under kAuto.
constexpr std::size_t kSmall = 1000;

// Streams that write flags, or an empty launch in their place.
class CopyLanesTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { ASSERT_TRUE(lanes_.open()); }

  void add(std::size_t offset, std::size_t length) {
    lanes_.add(from_.data() + offset, to_.data() + offset, length);
  }
  void wait_for(std::uint64_t number) {
    while (!lanes_.done(number)) std::this_thread::yield();
  }
  // One piece, and nothing is given while it waits for an SM.
  void kernels_wait() {
    while (gpu_.launches_under_way() > 0) std::this_thread::yield();
    gpu_.keep_sms(true);
    add(0, kSmall);
    const std::uint64_t number = lanes_.finish();
    clock_.advance(from_us(200));
    lanes_.check();
    gpu_.keep_sms(false);
    wait_for(number);
  }
  [[nodiscard]] bool is_copied(std::size_t offset, std::size_t length) const {
    const auto begin = static_cast<std::ptrdiff_t>(offset);
    return std::equal(from_.begin() + begin, from_.begin() + begin + static_cast<long>(length),
                      to_.begin() + begin);
  }

  ManualClock clock_;
  FakeGpu gpu_;
  CudaContext cuda_ = gpu_.context(clock_, GetParam());
  CopyLanes lanes_{cuda_, 4, CopyBy::kAuto};
  std::vector<std::byte> from_ = std::vector<std::byte>(4 << 20, std::byte{7});
  std::vector<std::byte> to_ = std::vector<std::byte>(4 << 20);
};

TEST_P(CopyLanesTest, LargePiecesAreTheEnginesAndSmallOnesTheKernels) {
  add(0, kLarge);
  add(kLarge, kSmall);
  add(2 * kLarge, kLarge);
  add(3 * kLarge, 0);
  wait_for(lanes_.finish());
  EXPECT_TRUE(is_copied(0, kLarge + kSmall));
  EXPECT_FALSE(is_copied(0, kLarge + kSmall + 1));
  EXPECT_TRUE(is_copied(2 * kLarge, kLarge));
  EXPECT_EQ(gpu_.copies(), 2u);
  EXPECT_EQ(gpu_.units(), 1u);
  EXPECT_EQ(lanes_.last(), 1u);
}

TEST_P(CopyLanesTest, WorkIsDoneInItsOrder) {
  gpu_.keep_sms(true);
  add(0, kSmall);
  add(kSmall, kSmall);
  const std::uint64_t by_kernel = lanes_.finish();
  const std::uint64_t nothing = lanes_.finish();
  EXPECT_FALSE(lanes_.done(by_kernel));
  EXPECT_FALSE(lanes_.done(nothing)) << "before what came before";
  gpu_.keep_sms(false);
  wait_for(nothing);
  EXPECT_TRUE(lanes_.done(by_kernel));
}

// More at a time than is remembered.
TEST_P(CopyLanesTest, ManyPiecesOfWork) {
  constexpr std::size_t kWork = 3000;
  for (std::size_t i = 0; i < kWork; ++i) {
    add(i * kSmall, kSmall / 2);
    add(i * kSmall + kSmall / 2, kSmall / 2);
    if (i % 100 == 0) add(3 << 20, kLarge);
    ASSERT_EQ(lanes_.finish(), i + 1);
    if (i % 100 == 0) wait_for(lanes_.last());
  }
  wait_for(kWork);
  EXPECT_TRUE(is_copied(0, kWork * kSmall));
  EXPECT_EQ(gpu_.copies(), kWork / 100);
  EXPECT_EQ(gpu_.units(), 2 * kWork);
}

// The copy engine needs no SM, and no launch where streams write flags.
TEST_P(CopyLanesTest, ASmallPieceThatIsAloneIsTheEngines) {
  add(0, kSmall);
  wait_for(lanes_.finish());
  const std::size_t by_engine = GetParam() ? 1 : 0;
  EXPECT_EQ(gpu_.copies(), by_engine);
  EXPECT_EQ(gpu_.units(), 1 - by_engine);
  gpu_.keep_sms(true);
  add(kSmall, kSmall);
  add(2 * kSmall, 0);
  add(3 * kSmall, kSmall);
  lanes_.finish();
  add(4 * kSmall, kSmall);  // While the kernels have something to do.
  const std::uint64_t last = lanes_.finish();
  gpu_.keep_sms(false);
  wait_for(last);
  EXPECT_EQ(gpu_.copies(), by_engine);
  EXPECT_EQ(gpu_.units(), 4 - by_engine);
  EXPECT_TRUE(is_copied(0, 2 * kSmall));
  EXPECT_TRUE(is_copied(3 * kSmall, 2 * kSmall));
}

// If it follows the last closely, so that a kernel is there or will soon have more to do.
TEST_P(CopyLanesTest, AKernelThatLingersTakesASmallPieceThatIsAloneUnlessItHadToWait) {
  const std::size_t by_engine = GetParam() ? 1 : 0;
  cuda_.linger = from_us(50);
  gpu_.keep_lingering(true);
  const auto give = [&](Nanoseconds later) {
    clock_.advance(later);
    add(0, kSmall);
    wait_for(lanes_.finish());
  };
  give(0);
  EXPECT_EQ(gpu_.copies(), by_engine);
  EXPECT_EQ(gpu_.lingering(), 0u);
  for (int i = 0; i < 10; ++i) give(from_us(49));
  EXPECT_EQ(gpu_.copies(), by_engine);
  EXPECT_EQ(gpu_.lingering(), 1u);
  gpu_.keep_lingering(false);
  for (int i = 0; i < 10; ++i) give(from_us(50));
  EXPECT_EQ(gpu_.copies(), 11 * by_engine);
  EXPECT_EQ(gpu_.lingering(), 1u) << "nothing to linger for";
  kernels_wait();  // One that would linger.
  EXPECT_EQ(gpu_.lingering(), 2u);
  give(from_us(1));
  give(from_us(1));
  EXPECT_EQ(gpu_.copies(), 13 * by_engine);
  clock_.advance(from_ms(11));
  give(0);
  EXPECT_EQ(gpu_.copies(), 14 * by_engine);
  give(from_us(1));
  EXPECT_EQ(gpu_.copies(), 14 * by_engine);
  EXPECT_EQ(gpu_.lingering(), 3u);
}

// So that its list needs not be fetched; others are only in the list.
TEST_P(CopyLanesTest, APieceThatIsAloneIsPostedWithTheEndOfTheList) {
  std::minstd_rand random(1);
  std::generate(from_.begin(), from_.end(), [&] { return static_cast<std::byte>(random()); });
  cuda_.linger = from_us(50);
  CopyLanes lanes{cuda_, 4, CopyBy::kKernel};
  ASSERT_TRUE(lanes.open());
  std::size_t offset = 1;
  // The launch begins when all is posted.
  const auto give = [&](std::vector<std::size_t> lengths) {
    while (gpu_.launches_under_way() > 0) std::this_thread::yield();
    gpu_.keep_sms(true);
    const std::size_t first = offset;
    for (const std::size_t length : lengths) {
      lanes.add(from_.data() + offset, to_.data() + offset + 1, length);
      offset += length;
    }
    const std::uint64_t number = lanes.finish();
    gpu_.keep_sms(false);
    while (!lanes.done(number)) std::this_thread::yield();
    const auto at = static_cast<std::ptrdiff_t>(first);
    EXPECT_TRUE(std::equal(from_.begin() + at, from_.begin() + static_cast<long>(offset),
                           to_.begin() + at + 1));
    EXPECT_EQ(to_[offset + 1], std::byte{0});
  };
  give({1});  // Which does not linger.
  EXPECT_EQ(gpu_.lingering(), 0u);
  std::size_t units = 0;
  std::size_t launches = 0;
  for (const std::size_t length : {1ul, 4095ul, 4096ul, 4097ul, 12288ul, 200001ul, 1ul << 20}) {
    give({length});
    units += (length + 4095) / 4096;
    EXPECT_EQ(gpu_.lingering(), ++launches);
  }
  give({100, 5000});
  EXPECT_EQ(gpu_.lingering(), ++launches);
  give({(1 << 20) + 1});
  EXPECT_EQ(gpu_.lingering(), launches);
  while (gpu_.launches_under_way() > 0) std::this_thread::yield();
  EXPECT_EQ(gpu_.run_units(), units);
}

TEST_P(CopyLanesTest, ACopyThatFailsIsToldOf) {
  gpu_.fail_copies();
  add(0, kLarge);
  lanes_.finish();
  EXPECT_FALSE(cuda_.failure.ok());
}

INSTANTIATE_TEST_SUITE_P(Both, CopyLanesTest, testing::Bool(), [](const auto& tested) {
  return tested.param ? "streams_write_flags" : "launches_do";
});

}  // namespace
}  // namespace sluice
