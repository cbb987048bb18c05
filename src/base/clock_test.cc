#include "src/base/clock.h"

#include <gtest/gtest.h>

#include <chrono>

namespace sluice {
namespace {

TEST(SystemClockTest, IsTheMonotonicClockInNanoseconds) {
  const SystemClock clock;
  const auto before = std::chrono::steady_clock::now().time_since_epoch();
  const Nanoseconds now = clock.now();
  const auto after = std::chrono::steady_clock::now().time_since_epoch();
  EXPECT_GE(now, std::chrono::nanoseconds(before).count());
  EXPECT_LE(now, std::chrono::nanoseconds(after).count());
}

TEST(ManualClockTest, MovesOnlyWhenTold) {
  ManualClock clock;
  const Nanoseconds start = clock.now();
  EXPECT_EQ(clock.now(), start);
  clock.advance(from_ms(3) + from_us(5));
  EXPECT_EQ(clock.now() - start, 3'005'000);
}

}  // namespace
}  // namespace sluice
