#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tools/report/channel_flow.h"
#include "tools/report/summary.h"
#include "tools/report/trace.h"

namespace sluice::report {
namespace {

constexpr std::uint32_t kPeer = 0x1000001;
constexpr auto kManifest = std::uint8_t{18};

Event chunk(Nanoseconds time, EventKind kind, std::uint32_t number, std::uint8_t way) {
  return {time, 5, number, kind == EventKind::kPosted ? 1000u : 0u, kPeer, 0, kind, way};
}
Event frame(Nanoseconds time, EventKind kind, std::uint32_t number) {
  return {time, 0, number, 0, kPeer, 0, kind, kManifest};
}
Event transfer(Nanoseconds time, EventKind kind, std::uint64_t id, std::uint8_t detail) {
  return {time, id, 0, 3000, kPeer, 0, kind, detail};
}

Recording recording_of(std::uint64_t generation, std::uint64_t peer_generation,
                       std::vector<Event> events) {
  Recording recording;
  recording.generation = generation;
  recording.name = "gpu" + std::to_string(generation);
  recording.net = "tcp";
  recording.reason = "stall";
  recording.window = 4;
  recording.taken_at = events.empty() ? 0 : events.back().time;
  recording.recorded = events.size();
  if (peer_generation != 0) recording.peers = {{kPeer, peer_generation, "its peer"}};
  recording.events = std::move(events);
  return recording;
}

// B's clock is 1,000,000 ahead; frames take 300 there and 100 back.
constexpr Nanoseconds kAhead = 1'000'000;
Recording end_a() {
  return recording_of(
      1, 2,
      {transfer(500, EventKind::kAsked, 5, kSends), frame(1000, EventKind::kFrameOut, 7),
       chunk(1000, EventKind::kPosted, 0, kSends), chunk(1100, EventKind::kPosted, 1, kSends),
       frame(2000, EventKind::kFrameOut, 8), chunk(3000, EventKind::kReleased, 0, kSends),
       frame(5100, EventKind::kFrameIn, 3), chunk(9000, EventKind::kReleased, 1, kSends),
       transfer(9000, EventKind::kCompleted, 5, 0)});
}
Recording end_b() {
  return recording_of(
      2, 1,
      {frame(kAhead + 1900, EventKind::kFrameIn, 7), frame(kAhead + 2300, EventKind::kFrameIn, 8),
       chunk(kAhead + 2300, EventKind::kPosted, 0, kReceives),
       chunk(kAhead + 2300, EventKind::kPosted, 1, kReceives),
       chunk(kAhead + 2800, EventKind::kArrived, 0, kReceives),
       chunk(kAhead + 2900, EventKind::kReleased, 0, kReceives),
       frame(kAhead + 5000, EventKind::kFrameOut, 3)});
}

TEST(OffsetBetween, FollowsFromTheFastestFrameEachWay) {
  const auto offset = offset_between(end_a(), end_b());
  ASSERT_TRUE(offset.has_value());
  EXPECT_EQ(offset->shift, -kAhead - 100);  // As if 200 each way.
  EXPECT_EQ(offset->error, 200);
  EXPECT_EQ(offset->out, 2u);
  EXPECT_EQ(offset->back, 1u);
  const auto other_way = offset_between(end_b(), end_a());
  ASSERT_TRUE(other_way.has_value());
  EXPECT_EQ(other_way->shift, -offset->shift);
}

TEST(OffsetBetween, NeedsFramesOfBothWaysAndOneConnection) {
  Recording b = end_b();
  b.events.pop_back();
  EXPECT_FALSE(offset_between(end_a(), b).has_value());
  b = end_b();
  b.peers[0].generation = 9;
  EXPECT_FALSE(offset_between(end_a(), b).has_value());
  b = end_b();
  b.peers.push_back({kPeer + 1, 1, "connected twice"});
  EXPECT_FALSE(offset_between(end_a(), b).has_value());
}

TEST(MakeTimeline, KeepsTheLastOfAnEngineAndPlacesTheOthers) {
  Recording early = end_a();
  early.recorded = 3;
  early.events.resize(3);
  Recording stranger = recording_of(3, 0, {frame(40, EventKind::kFrameOut, 0)});
  stranger.taken_at = 50;
  stranger.wall_clock = 2050;  // Wall time is its clock and 2000; that of A is A's clock.
  Recording a = end_a();
  a.wall_clock = a.taken_at;
  const Timeline timeline = make_timeline({early, end_b(), a, stranger});
  ASSERT_EQ(timeline.tracks.size(), 3u);
  EXPECT_EQ(timeline.tracks[0].recording, a);
  EXPECT_EQ(timeline.tracks[1].shift, -kAhead - 100);
  EXPECT_NE(timeline.tracks[1].clock.find("control frames"), std::string::npos);
  EXPECT_EQ(timeline.tracks[2].shift, 2000);
  EXPECT_NE(timeline.tracks[2].clock.find("wall clocks"), std::string::npos);
  EXPECT_EQ(timeline.begin, 500);
  EXPECT_TRUE(make_timeline({}).tracks.empty());
}

TEST(ChannelFlows, TellWindowGapsAndWhatIsOutstanding) {
  Recording recording = recording_of(
      1, 2,
      {chunk(1000, EventKind::kPosted, 0, kSends), chunk(1000, EventKind::kPosted, 1, kSends),
       chunk(1000, EventKind::kPosted, 2, kSends), chunk(1000, EventKind::kPosted, 3, kSends),
       chunk(2000, EventKind::kReleased, 0, kSends), chunk(2000, EventKind::kReleased, 1, kSends),
       chunk(2000, EventKind::kFailed, 2, kSends), chunk(2000, EventKind::kBusy, 4, kSends)});
  recording.taken_at = 5000;
  const auto flows = channel_flows(recording);
  ASSERT_EQ(flows.size(), 1u);
  const auto& [key, flow] = *flows.begin();
  EXPECT_EQ(key, (ChannelKey{kPeer, 0, true}));
  EXPECT_DOUBLE_EQ(flow.mean_in_flight, (4 * 1000 + 1 * 3000) / 4000.0);
  EXPECT_DOUBLE_EQ(flow.full, 0.25);
  EXPECT_DOUBLE_EQ(flow.empty, 0);
  EXPECT_EQ(flow.longest_gap, 3000);
  EXPECT_EQ(flow.gap_begin, 2000);
  EXPECT_EQ(flow.gap_in_flight, 1u);
  EXPECT_EQ(flow.in_flight, 1u);
  EXPECT_EQ(flow.oldest, 1000);
  EXPECT_EQ(flow.busy, 1u);
  EXPECT_TRUE(flow.chunks.at(2).failed);
}

TEST(ChannelFlows, KnowHowFullTheWindowWasWhenTheRecordingBegins) {
  Recording recording = recording_of(1, 2,
                                     {chunk(1000, EventKind::kReleased, 10, kReceives),
                                      chunk(1000, EventKind::kPosted, 14, kReceives),
                                      chunk(2000, EventKind::kReleased, 11, kReceives)});
  recording.taken_at = 3000;
  const ChannelFlow flow = channel_flows(recording).begin()->second;
  EXPECT_DOUBLE_EQ(flow.full, 0.5);
  EXPECT_EQ(flow.in_flight, 3u);
  EXPECT_TRUE(channel_flows(recording_of(1, 2, {})).empty());
}

// A file may claim anything that the decoder lets through.
TEST(ChannelFlows, SurviveNonsense) {
  Recording recording =
      recording_of(1, 2,
                   {chunk(0, EventKind::kReleased, 0xffffffff, kReceives),
                    chunk(0, EventKind::kArrived, 7, kReceives),
                    chunk(Nanoseconds{1} << 62, EventKind::kPosted, 0, kReceives)});
  recording.window = 0;
  const Timeline timeline = make_timeline({recording, end_a()});
  EXPECT_FALSE(summary_text(timeline).empty());
  EXPECT_TRUE(nlohmann::json::accept(trace_json(timeline)));
}

TEST(SummaryText, SaysWhatAPersonWantsToKnow) {
  Recording stalled = end_b();
  stalled.taken_at = kAhead + 5'000'002'300;
  const std::string text = summary_text(make_timeline({end_a(), stalled}));
  for (const char* part : {
           "engine gpu1 (tcp, window 4), recorded because: stall",
           "clock: -0.001000 s to that of gpu1, from 2 control frames one way and 1 the other: "
           "within 0.2 us",
           "send channel 0, its peer: 2 chunks posted, 0.000 GB",
           "1 sends with chunks: to the first chunk median 0.5 us",
           "from there to completion median 8.0 us",
           "recv channel 0, its peer",
           "longest gap: 5.00 s from 0.000002 s, with 1 in flight",
           "at the end 1 in flight, the oldest posted 5.00 s before",
           "from posted there to arrived here: median 1.7 us",
       }) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(TraceJson, IsWhatChromesFormatWants) {
  Recording a = end_a();
  a.name = "a \"name\"\x01\xff";
  const nlohmann::json trace = nlohmann::json::parse(trace_json(make_timeline({a, end_b()})));
  int begins = 0;
  int ends = 0;
  int counters = 0;
  std::set<std::string> names;
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    const std::string phase = event.at("ph");
    EXPECT_TRUE(event.at("pid") == 1 || event.at("pid") == 2);
    if (phase != "M") {
      EXPECT_GE(event.at("ts").get<double>(), 0);
    }
    if (phase == "b") ++begins;
    if (phase == "e") ++ends;
    if (phase == "C") {
      ++counters;
      EXPECT_GE(event.at("args").at("chunks").get<int>(), 0);
    }
    names.insert(event.at("name"));
  }
  EXPECT_EQ(begins, 5);  // Two chunks at each end, one transfer.
  EXPECT_EQ(ends, begins);
  EXPECT_GE(counters, 4);
  EXPECT_TRUE(names.contains("Manifest out"));
  EXPECT_TRUE(names.contains("Manifest in"));
  EXPECT_TRUE(nlohmann::json::accept(trace_json({})));
}

}  // namespace
}  // namespace sluice::report
