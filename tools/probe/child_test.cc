#include "tools/probe/child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

namespace sluice::probe {
namespace {

using testing::HasSubstr;

constexpr double kSoon = 0.2;  // A deadline that is meant to be missed.

Finding run(const std::function<void(const Reporter&)>& body, double deadline_s = 60,
            const Expectations& expectations = {}) {
  return run_in_child({deadline_s, false}, expectations, body);
}

TEST(ChildTest, TellsWhatTheChildHasFound) {
  const Finding finding = run([](const Reporter& reporter) {
    reporter.step("looking");
    reporter.conclude({Verdict::kDeviation, "seen\n\xff", "so", {{"tables", {7, 8}}}});
  });
  EXPECT_EQ(finding.verdict, Verdict::kDeviation);
  EXPECT_THAT(finding.seen, HasSubstr("seen\n"));
  EXPECT_EQ(finding.consequence, "so");
  EXPECT_EQ(finding.facts["tables"][1], 8);
}

TEST(ChildTest, AnEndByASignalNamesItAndTheStep) {
  const Finding finding = run([](const Reporter& reporter) {
    reporter.step("the second accept");
    ::raise(SIGABRT);
  });
  EXPECT_EQ(finding.verdict, Verdict::kFail);
  EXPECT_EQ(finding.seen, "killed by SIGABRT in: the second accept");
}

TEST(ChildTest, AnEndByExitIsADeviationWhereItIsExpected) {
  const Finding finding = run([](const Reporter&) { ::_exit(1); }, 60, {"one chunk", ""});
  EXPECT_EQ(finding.verdict, Verdict::kDeviation);
  EXPECT_EQ(finding.seen, "the process ended with exit(1) in: starting");
  EXPECT_EQ(finding.consequence, "one chunk");
}

TEST(ChildTest, AChildThatHangsIsKilledWithItsChildren) {
  const auto hang = [](const Reporter& reporter) {
    reporter.step("waiting");
    if (::fork() >= 0) {
      for (;;) ::pause();
    }
  };
  EXPECT_THAT(run(hang, kSoon).seen, HasSubstr("did not come back within 0.2 s in: waiting"));
  EXPECT_EQ(run(hang, kSoon).verdict, Verdict::kFail);
  EXPECT_EQ(run(hang, kSoon, {"", "deadlines"}).verdict, Verdict::kDeviation);
}

TEST(ChildTest, AChildThatReturnsHasFailed) {
  EXPECT_EQ(run([](const Reporter&) {}).verdict, Verdict::kFail);
}

// A plugin may close descriptors that are not its own, or write into them.
TEST(ChildTest, WhatIsNotAReportIsOverlooked) {
  const Finding finding = run([](const Reporter& reporter) {
    for (int fd = 3; fd < 64; ++fd) {
      const char garbage[] = "garbage\n{\"verdict\":77}\n{\"step\":5}\n[]\n";
      if (::write(fd, garbage, sizeof(garbage) - 1) > 0) break;
    }
    reporter.conclude({Verdict::kPass, "", "", {}});
  });
  EXPECT_EQ(finding.verdict, Verdict::kPass);
  EXPECT_EQ(run([](const Reporter&) { ::closefrom(3); }).verdict, Verdict::kFail);
}

}  // namespace
}  // namespace sluice::probe
