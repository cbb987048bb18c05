#include "tools/perf/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <vector>

namespace sluice::perf {
namespace {

using ::testing::HasSubstr;

std::vector<ResultRow> rows() {
  std::vector<ResultRow> result;
  for (const std::uint32_t channels : {1u, 2u, 8u}) {
    for (const std::uint64_t size : {65536u, 1048576u}) {
      result.push_back({.size_bytes = size, .channels = channels, .gbytes_per_s = channels * 1.5});
    }
  }
  return result;
}

std::string content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(BandwidthPlot, HasEveryPointAndEscapesTexts) {
  const std::string commands = bandwidth_plot(rows(), "it's\na title").commands;
  EXPECT_THAT(commands, HasSubstr("set title 'it''s a title'"));
  EXPECT_THAT(commands, HasSubstr("1 1.5\n2 3\n8 12\nend_of_data"));
  EXPECT_THAT(commands, HasSubstr("title '64 KiB'"));
  EXPECT_THAT(commands, HasSubstr("title '1 MiB'"));
  EXPECT_THAT(commands, HasSubstr("set xtics ('1' 1, '2' 2, '8' 8)"));
}

TEST(Draw, WritesTheCommandsForAnotherMachine) {
  const std::string path = ::testing::TempDir() + "/plot_test's.gnuplot";
  ASSERT_TRUE(can_draw(path).ok());
  ASSERT_TRUE(draw({.width = 30, .height = 20, .commands = "plot x\n"}, path).ok());
  EXPECT_EQ(content(path),
            "set terminal svg size 30,20 dynamic font 'sans-serif,14' background '#ffffff'\n"
            "set output 'plot_test''s.svg'\nplot x\n");
}

TEST(Draw, SaysThatItCannotWrite) {
  const Status status = draw({.width = 30, .height = 20, .commands = ""}, "/no/such/x.gnuplot");
  EXPECT_THAT(std::string(status.message()), HasSubstr("/no/such/x.gnuplot"));
}

class Gnuplot : public ::testing::Test {
 protected:
  void SetUp() override {
    if (can_draw("x.svg").code() == StatusCode::kNotFound) GTEST_SKIP() << "no gnuplot here";
  }
};

TEST_F(Gnuplot, DrawsAnSvg) {
  const std::string path = ::testing::TempDir() + "/plot_test's.svg";
  const Status status = draw(bandwidth_plot(rows(), "loopback"), path);
  ASSERT_TRUE(status.ok()) << status.message();
  const std::string svg = content(path);
  for (const char* part : {"<svg", "</svg>", "channels", "64 KiB", "loopback"}) {
    EXPECT_THAT(svg, HasSubstr(part));
  }
}

TEST_F(Gnuplot, OnePointIsEnough) {
  const std::string path = ::testing::TempDir() + "/plot_test_one.svg";
  const ResultRow row{.size_bytes = 8, .channels = 4, .gbytes_per_s = 1};
  const Status status = draw(bandwidth_plot(std::span(&row, 1), "one"), path);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_THAT(content(path), HasSubstr("</svg>"));
}

TEST_F(Gnuplot, ComplaintsAreTold) {
  const Status status = draw({.width = 30, .height = 20, .commands = "no such command\n"},
                             ::testing::TempDir() + "/plot_test_wrong.svg");
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("invalid command"));
  EXPECT_FALSE(draw(bandwidth_plot(rows(), "x"), "/nonexistent/x.svg").ok());
}

}  // namespace
}  // namespace sluice::perf
