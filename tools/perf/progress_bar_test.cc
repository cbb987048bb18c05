#include "tools/perf/progress_bar.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::perf {
namespace {

TEST(BarLine, FillsInProportion) {
  for (const auto& [done, filled] :
       {std::pair<std::size_t, long>{0, 0}, {1, 10}, {2, 20}, {3, 30}, {4, 30}}) {
    const std::string line = bar_line(done, 3, "x");
    EXPECT_EQ(std::count(line.begin(), line.end(), '='), filled) << line;
    EXPECT_EQ(line.size(), bar_line(0, 3, "x").size());
  }
  EXPECT_NE(bar_line(1, 3, "64 KiB").find("64 KiB"), std::string::npos);
  EXPECT_NE(bar_line(3, 3, "").find("100 %"), std::string::npos);
  EXPECT_NE(bar_line(0, 0, "").find("100 %"), std::string::npos);
}

TEST(ProgressBar, WritesOnlyWhereItIsSeen) {
  ::testing::internal::CaptureStderr();
  {
    ProgressBar bar(2, false);
    bar.step("one");
    bar.clear();
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ::testing::internal::CaptureStderr();
  {
    ProgressBar bar(2, true);
    bar.step("one");
  }
  const std::string written = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(written.find("one"), std::string::npos);
  EXPECT_TRUE(written.ends_with("\r\x1b[K")) << "the line is left clean";
}

}  // namespace
}  // namespace sluice::perf
