#include "tools/perf/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace sluice::perf {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

TEST(ReportJson, HasWhatScriptsRelyOn) {
  ResultRow row{.net = "tcp", .size_bytes = 8ull << 30, .channels = 2, .gbytes_per_s = 6.5};
  row.p50_us = 1.5;
  row.p99_us = 2.5;
  row.cpu_s_per_gb = 0.25;
  row.verified = true;
  ResultRow empty{.net = "tcp"};
  tools::InForce in_force;
  ASSERT_TRUE(in_force.set("channels", "2", "--channels").ok());
  ASSERT_TRUE(in_force.set("token", "sesame", "--token").ok());
  const ResultRow rows[] = {row, empty};
  const Json json = Json::parse(report_json(rows, in_force.all_settings(), describe_machine()));

  ASSERT_EQ(json["results"].size(), 2u);
  const Json& first = json["results"][0];
  EXPECT_EQ(first["op"], "send");
  EXPECT_EQ(first["size_bytes"], 8ull << 30);
  EXPECT_EQ(first["channels"], 2);
  EXPECT_EQ(first["net"], "tcp");
  EXPECT_EQ(first["gbytes_per_s"], 6.5);
  EXPECT_EQ(first["p50_us"], 1.5);
  EXPECT_EQ(first["p99_us"], 2.5);
  EXPECT_EQ(first["cpu_s_per_gb"], 0.25);
  EXPECT_EQ(first["verified"], true);
  EXPECT_TRUE(json["results"][1]["cpu_s_per_gb"].is_null());
  EXPECT_EQ(json["results"][1]["verified"], false);
  EXPECT_EQ(json["settings"].size(), settings().size() + perf_settings().size());
  EXPECT_EQ(json["settings"]["channels"], 2);
  EXPECT_EQ(json["settings"]["net"], "tcp");
  EXPECT_EQ(json["settings"]["token"], "(set)");
  EXPECT_GE(json["machine"]["cores"], 1);
  EXPECT_EQ(json.size(), 3u);
}

TEST(ReportJson, NoResultsIsAnEmptyList) {
  const Json json = Json::parse(report_json({}, {}, Machine{.cpu = "\xff"}));
  EXPECT_TRUE(json["results"].is_array());
  EXPECT_TRUE(json["results"].empty());
  EXPECT_TRUE(json["settings"].is_object());
}

TEST(WriteFile, ReplacesOrSaysWhyNot) {
  const std::string path = ::testing::TempDir() + "/report_test.json";
  ASSERT_TRUE(write_file(path, "a longer first text").ok());
  ASSERT_TRUE(write_file(path, "short\n").ok());
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  EXPECT_EQ(content.str(), "short\n");

  const Status missing = write_file("/nonexistent/x.json", "x");
  EXPECT_FALSE(missing.ok());
  EXPECT_THAT(std::string(missing.message()), HasSubstr("/nonexistent/x.json"));
  EXPECT_FALSE(write_file("/dev/full", "x").ok());
}

}  // namespace
}  // namespace sluice::perf
