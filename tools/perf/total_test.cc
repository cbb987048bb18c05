#include "tools/perf/total.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::perf {
namespace {

ResultRow row(std::uint64_t iterations, double seconds, double cpu, double p50, double p99) {
  ResultRow result;
  result.engine = "host0";
  result.size_bytes = 1'000'000'000;
  result.iterations = iterations;
  result.seconds = seconds;
  result.cpu_seconds = cpu;
  result.p50_us = p50;
  result.p99_us = p99;
  result.verified = true;
  result.verified_messages = 2;
  return result;
}

TEST(TotalOf, AllBytesOverTheTimeOfTheSlowest) {
  const std::vector<ResultRow> rows{row(4, 1, 1, 10, 50), row(4, 2, 2, 30, 40),
                                    row(4, 1, 3, 20, 9)};
  const ResultRow total = total_of(rows);
  EXPECT_EQ(total.engine, kAllEngines);
  EXPECT_DOUBLE_EQ(total.gbytes_per_s, 6);
  EXPECT_DOUBLE_EQ(*total.cpu_s_per_gb, 0.5);
  EXPECT_EQ(total.p50_us, 20);
  EXPECT_EQ(total.p99_us, 50);
  EXPECT_EQ(total.iterations, 12u);
  EXPECT_EQ(total.verified_messages, 6u);
  EXPECT_TRUE(total.verified);
}

TEST(TotalOf, BothDirectionsCountTwiceAndEmptyMessagesNothing) {
  std::vector<ResultRow> rows{row(4, 1, 1, 10, 50)};
  rows[0].direction = "both";
  EXPECT_DOUBLE_EQ(total_of(rows).gbytes_per_s, 8);
  rows[0].size_bytes = 0;
  EXPECT_EQ(total_of(rows).gbytes_per_s, 0);
  EXPECT_FALSE(total_of(rows).cpu_s_per_gb.has_value());
}

TEST(TotalOf, IsVerifiedOnlyIfAllWere) {
  std::vector<ResultRow> rows{row(4, 1, 1, 10, 50), row(4, 1, 1, 10, 50)};
  rows[1].verified = false;
  EXPECT_FALSE(total_of(rows).verified);
}

}  // namespace
}  // namespace sluice::perf
