#include "tools/perf/statistics.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::perf {
namespace {

TEST(Percentile, NearestRank) {
  std::vector<double> none;
  EXPECT_EQ(percentile(none, 50), 0);
  std::vector<double> one{7};
  EXPECT_EQ(percentile(one, 0), 7);
  EXPECT_EQ(percentile(one, 99), 7);
  std::vector<double> four{4, 1, 3, 2};
  EXPECT_EQ(percentile(four, 0), 1);
  EXPECT_EQ(percentile(four, 25), 1);
  EXPECT_EQ(percentile(four, 26), 2);
  EXPECT_EQ(percentile(four, 50), 2);
  EXPECT_EQ(percentile(four, 100), 4);
  std::vector<double> hundred;
  for (int i = 100; i > 0; --i) hundred.push_back(i);
  EXPECT_EQ(percentile(hundred, 50), 50);
  EXPECT_EQ(percentile(hundred, 99), 99);
  hundred.push_back(1000);  // One in 101 is beyond the 99th percentile.
  EXPECT_EQ(percentile(hundred, 99), 100);
}

TEST(CpuSeconds, GrowsWithWork) {
  const double before = cpu_seconds();
  double now = before;
  while (now <= before) now = cpu_seconds();
  EXPECT_GT(now, before);
  EXPECT_LT(now, before + 60);
}

}  // namespace
}  // namespace sluice::perf
