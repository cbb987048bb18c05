#include "src/net/plugin/plugin_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "src/base/log.h"

namespace sluice {
namespace {

using nccl_abi::DebugLevel;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string>& lines() {
  static std::vector<std::string> all;
  return all;
}

class PluginLog : public testing::Test {
 protected:
  void SetUp() override {
    lines().clear();
    set_log_sink([](LogLevel, std::string_view line) { lines().emplace_back(line); });
  }
  void TearDown() override {
    set_log_sink(nullptr);
    set_log_level(LogLevel::kWarning);
  }
};

TEST(LineLimiter, ShowsTheFirstLinesThenOneASecondAndCountsTheOthers) {
  LineLimiter limiter;
  Nanoseconds now = from_ms(5);
  for (std::uint32_t i = 0; i < LineLimiter::kBurst; ++i) {
    EXPECT_TRUE(limiter.admit(7, now).admitted) << i;
  }
  for (int i = 0; i < 57'000; ++i) EXPECT_FALSE(limiter.admit(7, now += 1000).admitted);
  now += LineLimiter::kQuiet;
  const auto again = limiter.admit(7, now);
  EXPECT_TRUE(again.admitted);
  EXPECT_EQ(again.dropped, 57'000u);
  EXPECT_FALSE(limiter.admit(7, now).admitted) << "still a storm";
}

TEST(LineLimiter, APlaceThatWasQuietMaySayAllAgain) {
  LineLimiter limiter;
  for (std::uint32_t i = 0; i < LineLimiter::kBurst; ++i) EXPECT_TRUE(limiter.admit(7, 0).admitted);
  for (std::uint32_t i = 0; i < LineLimiter::kBurst; ++i) {
    EXPECT_TRUE(limiter.admit(7, LineLimiter::kQuiet).admitted);
  }
}

TEST(LineLimiter, OnePlaceDoesNotSilenceAnother) {
  LineLimiter limiter;
  for (int i = 0; i < 100; ++i) (void)limiter.admit(7, 0);
  EXPECT_TRUE(limiter.admit(8, 0).admitted);
}

TEST_F(PluginLog, FormatsAndMapsLevels) {
  set_log_level(LogLevel::kTrace);
  plugin_logger(DebugLevel::kWarn, nccl_abi::kLogNet, "levels.cc", 1, "%s of %d", "warn", 3);
  plugin_logger(DebugLevel::kInfo, nccl_abi::kLogNet, "levels.cc", 2, "info");
  plugin_logger(DebugLevel::kAbort, nccl_abi::kLogNet, "levels.cc", 3, "abort");
  plugin_logger(DebugLevel::kTrace, nccl_abi::kLogNet, "levels.cc", 4, "trace");
  EXPECT_THAT(lines(), ElementsAre("warning plugin says warn of 3", "info plugin says info",
                                   "error plugin says abort", "trace plugin says trace"));
  EXPECT_EQ(plugin_warning_clause(), "; its last warning: warn of 3; abort");
  const Nanoseconds later = SystemClock().now() + from_ms(12'001);
  EXPECT_EQ(plugin_warning_clause(later), "; its last warning, 12 s earlier: warn of 3; abort");
}

TEST_F(PluginLog, WhatIsBelowTheLevelIsNotShown) {
  plugin_logger(DebugLevel::kInfo, 0, "hidden.cc", 1, "not at level warning");
  EXPECT_TRUE(lines().empty());
}

TEST_F(PluginLog, AStormFromManyThreadsIsAFewLines) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int k = 0; k < 10'000; ++k) {
        plugin_logger(DebugLevel::kWarn, 0, "storm.cc", 9, "No free space for recv task %d", k);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(lines().size(), LineLimiter::kBurst);
  EXPECT_LT(lines().size(), 1000u);
  EXPECT_THAT(plugin_warning_clause(), HasSubstr("No free space"));
}

TEST_F(PluginLog, ALongLineIsCutAndNothingElseHappens) {
  const std::string text(100'000, 'x');
  plugin_logger(DebugLevel::kWarn, 0, "long.cc", 1, "%s", text.c_str());
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_LT(lines()[0].size(), 2000u);
}

}  // namespace
}  // namespace sluice
