#include "tools/perf/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice::perf {
namespace {

using ::testing::HasSubstr;

constexpr char kRun[] =
    R"({"message":"run","op":"send","phase":"latency","size":65536,"count":10,"checked":1,)"
    R"("depth":4,"both_directions":true,"seed":18446744073709551615,"beside":7})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

template <typename T>
T round_trip(const T& message) {
  const Result<Message> result = decode(encode(message));
  EXPECT_TRUE(result.ok()) << result.status().message();
  EXPECT_TRUE(std::holds_alternative<T>(*result));
  return std::get<T>(*result);
}

TEST(Messages, RoundTrip) {
  round_trip(Start{});
  EXPECT_EQ(round_trip(Ready{}).region, "");
  EXPECT_EQ(round_trip(Ready{"00ff"}).region, "00ff");
  EXPECT_EQ(round_trip(Ready{"00ff"}).slots, 0u);
  EXPECT_EQ(round_trip(Ready{"00ff", 7}).slots, 7u);
  round_trip(Finish{});
  EXPECT_EQ(round_trip(perf::Run{.op = "read"}).op, "read");
  EXPECT_EQ(round_trip(Welcome{.channels = 8, .memory = "host"}).channels, 8u);
  const Done done = round_trip(Done{.cpu_seconds = 1.25, .checked = 3, .difference = "at 7"});
  EXPECT_EQ(done.cpu_seconds, 1.25);
  EXPECT_EQ(done.checked, 3u);
  EXPECT_EQ(done.difference, "at 7");
  EXPECT_EQ(round_trip(Refusal{"no"}).why, "no");
  perf::Run run{
      .phase = Phase::kLatency, .size = 8ull << 30, .count = 5, .checked = 5, .depth = 256};
  run.seed = UINT64_MAX;
  run.both_directions = true;
  run.beside = 8ull << 30;
  const perf::Run read = round_trip(run);
  EXPECT_EQ(read.phase, Phase::kLatency);
  EXPECT_EQ(read.size, 8ull << 30);
  EXPECT_EQ(read.count, 5u);
  EXPECT_EQ(read.checked, 5u);
  EXPECT_EQ(read.depth, 256u);
  EXPECT_EQ(read.seed, UINT64_MAX);
  EXPECT_TRUE(read.both_directions);
  EXPECT_EQ(read.beside, 8ull << 30);
}

TEST(Messages, LongTextsOfAnyBytesAreCutAndFit) {
  for (const char filler : {'x', '"', '\\', '\x01', '\xff'}) {
    const std::string bytes = encode(Refusal{std::string(100000, filler)});
    EXPECT_LE(bytes.size(), kMessageBytes);
    EXPECT_TRUE(decode(bytes).ok());
  }
}

TEST(Messages, RefusesWhatIsOutOfRange) {
  ASSERT_TRUE(decode(kRun).ok()) << decode(kRun).status().message();
  const std::pair<const char*, const char*> changes[] = {
      {"\"send\"", "\"erase\""},
      {"\"latency\"", "\"both\""},
      {"\"latency\"", "null"},
      {":65536", ":8589934593"},
      {":65536", ":-1"},
      {":65536", ":1e4"},
      {":65536", ":\"65536\""},
      {":65536", ":[65536]"},
      {":65536", ":99999999999999999999999"},
      {"\"count\":10", "\"count\":0"},
      {"\"count\":10", "\"count\":1000000001"},
      {"\"checked\":1", "\"checked\":11"},
      {"\"depth\":4", "\"depth\":0"},
      {"\"depth\":4", "\"depth\":257"},
      {"true", "1"},
      {"\"seed\"", "\"sead\""},
      {"\"beside\":7", "\"beside\":8589934593"},
      {"\"run\"", "\"ruin\""},
      {"\"message\"", "\"massage\""},
  };
  for (const auto& [from, to] : changes) {
    const Result<Message> result = decode(replaced(kRun, from, to));
    ASSERT_FALSE(result.ok()) << from << " -> " << to;
    EXPECT_EQ(result.status().code(), StatusCode::kProtocol);
  }
  EXPECT_THAT(std::string(decode(replaced(kRun, ":65536", ":-1")).status().message()),
              HasSubstr("field size is missing or out of range"));
}

TEST(Messages, RefusesWhatIsNoMessage) {
  for (const std::string& bytes :
       {std::string(), std::string("null"), std::string("[]"), std::string("{"), std::string("{}"),
        std::string("\xff\xfe"), std::string("{\"message\":7}"), std::string(kMessageBytes, '['),
        std::string(kMessageBytes + 1, ' '),
        std::string("{\"message\":\"start\"}"),  // No version.
        std::string("{\"message\":\"start\",\"version\":2}"),
        std::string("{\"message\":\"done\",\"cpu_seconds\":-1,\"checked\":0,\"difference\":\"\"}"),
        std::string("{\"message\":\"refusal\",\"why\":\"") + std::string(1001, 'x') + "\"}"}) {
    EXPECT_FALSE(decode(bytes).ok()) << bytes.substr(0, 80);
  }
}

TEST(Messages, TextsOfAPeerAreFitForATerminal) {
  const Result<Message> result = decode(R"({"message":"refusal","why":"\u001b[2J\u0000\u007f!"})");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(std::get<Refusal>(*result).why,
            "?[2J?"
            "?!");
}

}  // namespace
}  // namespace sluice::perf
