#include "src/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

// A sink is a plain function, so what it saw has to live outside the test. No lock: the logger
// promises one call at a time, and the thread sanitizer holds it to that.
std::vector<std::string> lines;

class LogTest : public testing::Test {
 protected:
  LogTest() {
    lines.clear();
    set_log_sink([](LogLevel, std::string_view line) { lines.emplace_back(line); });
  }
  ~LogTest() override {
    set_log_sink(nullptr);
    set_log_level(LogLevel::kWarning);
  }
};

TEST_F(LogTest, ALineNamesLevelAndComponent) {
  SLUICE_LOG(kWarning, "engine", "peer {} lost", "10.0.0.2:20000");
  EXPECT_THAT(lines, ElementsAre("warning engine peer 10.0.0.2:20000 lost"));
}

TEST_F(LogTest, EveryLevelShowsItselfAndWhatIsWorse) {
  for (int level = 0; level <= static_cast<int>(LogLevel::kTrace); ++level) {
    lines.clear();
    set_log_level(static_cast<LogLevel>(level));
    SLUICE_LOG(kError, "t", "x");
    SLUICE_LOG(kWarning, "t", "x");
    SLUICE_LOG(kInfo, "t", "x");
    SLUICE_LOG(kDebug, "t", "x");
    SLUICE_LOG(kTrace, "t", "x");
    EXPECT_EQ(lines.size(), static_cast<std::size_t>(level) + 1);
  }
  EXPECT_THAT(lines, ElementsAre("error t x", "warning t x", "info t x", "debug t x", "trace t x"));
}

TEST_F(LogTest, ArgumentsOfALevelThatIsOffAreNotEvaluated) {
  int evaluated = 0;
  SLUICE_LOG(kDebug, "net", "{}", ++evaluated);
  EXPECT_EQ(evaluated, 0);
  set_log_level(LogLevel::kDebug);
  SLUICE_LOG(kDebug, "net", "{}", ++evaluated);
  EXPECT_EQ(evaluated, 1);
  EXPECT_THAT(lines, ElementsAre("debug net 1"));
}

TEST_F(LogTest, CallingWithoutTheMacroObeysTheLevelToo) {
  log(LogLevel::kInfo, "net", "channel {}", 1);
  log(LogLevel::kError, "net", "channel {}", 2);
  EXPECT_THAT(lines, ElementsAre("error net channel 2"));
}

TEST_F(LogTest, APeerCannotForgeALine) {
  const std::string name = "evil\nerror engine forged\r\x1b[2J\t\x7f" + std::string(1, '\0') + "ä";
  SLUICE_LOG(kError, "engine", "peer {} connected", name);
  EXPECT_THAT(lines, ElementsAre("error engine peer evil\\x0aerror engine forged\\x0d\\x1b[2J\\x09"
                                 "\\x7f\\x00ä connected"));
}

TEST_F(LogTest, LongLinesAreWhole) {
  SLUICE_LOG(kError, "t", "{}", std::string(100'000, 'x'));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].size(), 100'000u + std::string("error t ").size());
}

TEST_F(LogTest, ThreadsDoNotMixTheirLines) {
  constexpr int kThreads = 4, kLines = 1000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < kLines; ++i) SLUICE_LOG(kWarning, "t", "thread {} line {}", t, i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(lines.size(), std::size_t{kThreads} * kLines);
  std::vector<int> next(kThreads, 0);
  for (const std::string& line : lines) {
    int thread = -1, number = -1;
    ASSERT_EQ(std::sscanf(line.c_str(), "warning t thread %d line %d", &thread, &number), 2);
    ASSERT_EQ(number, next.at(static_cast<std::size_t>(thread))++);
  }
}

TEST_F(LogTest, WithoutASinkLinesGoToStderrWithTheirTime) {
  set_log_sink(nullptr);
  testing::internal::CaptureStderr();
  SLUICE_LOG(kError, "net", "channel {} failed", 3);
  SLUICE_LOG(kInfo, "net", "not shown");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z "
                           "error net channel 3 failed\n"));
  EXPECT_TRUE(lines.empty());
}

TEST(LogLevelTest, NamesAreParsed) {
  const std::pair<const char*, LogLevel> names[] = {{"error", LogLevel::kError},
                                                    {"warning", LogLevel::kWarning},
                                                    {"info", LogLevel::kInfo},
                                                    {"debug", LogLevel::kDebug},
                                                    {"trace", LogLevel::kTrace}};
  for (const auto& [name, level] : names) {
    const auto parsed = parse_log_level(name);
    ASSERT_TRUE(parsed.ok()) << name;
    EXPECT_EQ(*parsed, level);
  }
}

TEST(LogLevelTest, OtherWordsAreRefusedWithTheLegalOnes) {
  for (const char* word : {"", "Error", "warn", "verbose", "0", "error "}) {
    const auto parsed = parse_log_level(word);
    ASSERT_FALSE(parsed.ok()) << word;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(parsed.status().message()),
                HasSubstr("error, warning, info, debug, trace"));
  }
}

}  // namespace
}  // namespace sluice
