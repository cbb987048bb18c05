#include "tools/perf/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sluice::perf {
namespace {

using ::testing::HasSubstr;

TEST(Table, LinesAlign) {
  const std::string header = table_header();
  const std::size_t width = header.find('\n');
  EXPECT_EQ(header.size(), 2 * width + 1);
  ResultRow row{.size_bytes = 8, .channels = 1, .gbytes_per_s = 0.0001};
  EXPECT_EQ(table_row(row).size(), width);
  row = {.size_bytes = 8589934591, .channels = 64, .gbytes_per_s = 123.456};
  row.p50_us = 1234567.8;
  row.p99_us = 9999999.4;
  row.cpu_s_per_gb = 12345.6;
  EXPECT_EQ(table_row(row).size(), width) << table_row(row);
}

TEST(Table, LinesAlignWithAColumnForTheEngine) {
  const std::string header = table_header(true);
  const ResultRow row{.engine = "host12", .size_bytes = 8, .channels = 1};
  EXPECT_EQ(table_row(row).size(), header.find('\n'));
  EXPECT_THAT(header, HasSubstr("engine"));
  EXPECT_THAT(table_row(row), HasSubstr(" host12 "));
}

TEST(Table, NumbersAndUnits) {
  ResultRow row{.size_bytes = 65536, .channels = 2, .gbytes_per_s = 2.894};
  row.p50_us = 20.04;
  row.p99_us = 100.4;
  row.cpu_s_per_gb = 0.2961;
  const std::string line = table_row(row);
  for (const char* part : {"64 KiB", " 2.89 ", " 20.0 ", " 100 ", " 0.296"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
  row.size_bytes = 1000;
  row.cpu_s_per_gb.reset();
  EXPECT_THAT(table_row(row), HasSubstr("1000 B"));
  EXPECT_EQ(table_row(row).back(), '-');
  EXPECT_THAT(table_header(), HasSubstr("GB/s"));
}

TEST(VerifiedLine, CountsOnlyWhatWasRight) {
  std::vector<ResultRow> rows(2);
  EXPECT_EQ(verified_line(rows), "verified: nothing");
  rows[0] = {.size_bytes = 1'000'000'000, .verified_messages = 3, .verified = true};
  rows[1] = {.size_bytes = 8, .verified_messages = 2, .verified = false};
  EXPECT_EQ(verified_line(rows),
            "verified: every byte of 3 messages (3.00 GB) arrived as it was sent");
  rows.push_back(rows[0]);
  rows.back().engine = kAllEngines;
  EXPECT_THAT(verified_line(rows), HasSubstr("3 messages")) << "what is a sum is not counted again";
}

TEST(BesideLine, TellsEachRowOrNothing) {
  std::vector<ResultRow> rows(2);
  EXPECT_EQ(beside_line(rows), "");
  rows[0] = {.op = "read", .beside_bytes = 64 << 20, .beside_gbytes_per_s = 6.041};
  rows[1] = {.op = "read", .beside_bytes = 64 << 20, .beside_gbytes_per_s = 12.34};
  EXPECT_EQ(beside_line(rows),
            "beside them, while latency was measured: reads of 64 MiB at 6.04, 12.3 GB/s");
}

}  // namespace
}  // namespace sluice::perf
