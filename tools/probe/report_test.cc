#include "tools/probe/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace sluice::probe {
namespace {

using testing::HasSubstr;

const Row kPassed{"sizes", "messages up to a chunk", {Verdict::kPass, "arrive whole", "", {}}};
const Row kDeviates{"sigpipe", "no signal", {Verdict::kDeviation, "SIGPIPE", "it is blocked", {}}};
const Row kFailed{"shorter", "may be shorter", {Verdict::kFail, "byte 3 is wrong", "", {}}};

TEST(ProbeReportTest, RowsAreAlignedWithTheirHeader) {
  const std::string header = table_header();
  const std::string row = table_row(kPassed);
  EXPECT_EQ(row.find("pass"), header.find("VERDICT"));
  EXPECT_EQ(row.find("messages"), header.find("ASKS"));
  EXPECT_EQ(row.find("arrive"), header.find("SEEN"));
  EXPECT_THAT(table_row(kDeviates), HasSubstr("\n" + std::string(39, ' ') + "so: it is"));
}

TEST(ProbeReportTest, OnlyPassesMakeStatus0) {
  EXPECT_EQ(exit_status_of(std::vector<Row>{kPassed, kPassed}), 0);
  EXPECT_EQ(exit_status_of(std::vector<Row>{kPassed, kDeviates}), 1);
  EXPECT_EQ(exit_status_of(std::vector<Row>{kFailed, kPassed}), 1);
  EXPECT_EQ(summary_line(std::vector<Row>{kPassed, kDeviates, kFailed}),
            "3 cases: 1 passed, 1 deviations, 1 failed\n");
}

TEST(ProbeReportTest, JsonHasAVerdictForEachCase) {
  const auto json = report_json("x.so", {{"tables", {7}}}, std::vector<Row>{kPassed, kDeviates});
  EXPECT_EQ(json["file"], "x.so");
  EXPECT_EQ(json["plugin"]["tables"][0], 7);
  EXPECT_EQ(json["cases"][1]["verdict"], "deviation");
  EXPECT_EQ(json["cases"][1]["consequence"], "it is blocked");
  EXPECT_EQ(json["deviations"], 1);
}

TEST(ProbeReportTest, DescribesThePluginAndItsDevices) {
  const nlohmann::json facts = {{"tables", {8, 7}},
                                {"version", 8},
                                {"name", "x"},
                                {"devices",
                                 {{{"device", 0},
                                   {"name", "eth1"},
                                   {"pci_path", ""},
                                   {"pointer_support", 3},
                                   {"speed_mbits", 200'000},
                                   {"device_type", 1}}}}};
  const std::string text = description_text("x.so", facts);
  EXPECT_THAT(text, HasSubstr("has v8 v7; used: v8, named x"));
  EXPECT_THAT(text, HasSubstr("0: eth1, 200000 Mbit/s, memory host cuda delivered in fragments"));
}

}  // namespace
}  // namespace sluice::probe
