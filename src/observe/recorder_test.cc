#include "src/observe/recorder.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

Event of_number(std::uint32_t number) { return {0, 0, number, 0, 0, 0, EventKind::kFrameIn, 0}; }

TEST(Recorder, KeepsTheLastInTheOrderInWhichTheyHappened) {
  Recorder recorder(3);  // Room for four.
  EXPECT_TRUE(recorder.events().empty());
  for (std::uint32_t i = 0; i < 11; ++i) {
    recorder.at(100 + i);
    recorder.add(of_number(i));
  }
  EXPECT_EQ(recorder.recorded(), 11u);
  const std::vector<Event> events = recorder.events();
  ASSERT_EQ(events.size(), 4u);
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(events[i].number, 7 + i);
    EXPECT_EQ(events[i].time, 107 + i);
  }
}

TEST(Recorder, OffRecordsNothing) {
  Recorder recorder(0);
  recorder.at(5);
  recorder.add(of_number(1));
  recorder.add_ahead(of_number(2));
  recorder.at(6);
  recorder.slept(7, 8);
  recorder.met({1, 2, "peer"});
  EXPECT_FALSE(recorder.on());
  EXPECT_EQ(recorder.recorded(), 0u);
  EXPECT_TRUE(recorder.events().empty());
  EXPECT_TRUE(recorder.peers().empty());
}

TEST(Recorder, TimeNeverGoesBack) {
  Recorder recorder(4);
  recorder.at(10);
  recorder.at(9);
  recorder.add(of_number(0));
  EXPECT_EQ(recorder.events().front().time, 10);
}

TEST(Recorder, WhatHappensBetweenPassesHasTheTimeOfTheNext) {
  Recorder recorder(2);
  recorder.at(10);
  recorder.add(of_number(0));
  for (std::uint32_t i = 1; i <= 5; ++i) recorder.add_ahead(of_number(i));  // More than it holds.
  recorder.at(50);
  recorder.add(of_number(6));
  const std::vector<Event> events = recorder.events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].number, 5u);
  EXPECT_EQ(events[0].time, 50);
  recorder.at(60);
  EXPECT_EQ(recorder.events()[0].time, 50);
}

TEST(Recorder, WhatFollowsThemIsNotEarlier) {
  Recorder recorder(8);
  recorder.at(10);
  recorder.add(of_number(0));
  recorder.add_ahead(of_number(1));
  recorder.add(of_number(2));  // A peer that is disconnected between passes, for one.
  recorder.at(50);
  const std::vector<Event> events = recorder.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].time, 10);
  EXPECT_EQ(events[1].time, 50);
  EXPECT_EQ(events[2].time, 50);
}

TEST(Recorder, SleepsWithNothingBetweenThemAreOne) {
  Recorder recorder(8);
  recorder.slept(100, 150);
  recorder.slept(160, 170);
  recorder.add(of_number(0));
  recorder.slept(200, 190);  // Of a clock that stood still, or worse.
  const std::vector<Event> events = recorder.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].kind, EventKind::kSlept);
  EXPECT_EQ(events[0].time, 100);
  EXPECT_EQ(events[0].transfer, 60u);
  EXPECT_EQ(events[0].number, 2u);
  EXPECT_EQ(events[1].time, 170);
  EXPECT_EQ(events[2].transfer, 0u);
  EXPECT_EQ(events[2].time, 200);
}

TEST(Recorder, ForgetsThePeersItMetFirst) {
  Recorder recorder(1);
  for (std::uint64_t i = 0; i < Recorder::kMostPeers + 2; ++i) recorder.met({i, i, ""});
  ASSERT_EQ(recorder.peers().size(), Recorder::kMostPeers);
  EXPECT_EQ(recorder.peers().front().id, 2u);
}

TEST(ChannelRecord, NumbersTheChunksOfEachStage) {
  Recorder recorder(16);
  ChannelRecord record(recorder, 0x7'0000'0001, 3, kReceives);
  record.posted(9, 512);
  record.posted(9, 100);
  record.arrived(9);
  record.arrived(9);
  record.unpacking(9, false);  // In place.
  record.unpacking(9, true);
  record.released(9, true);
  record.released(9, false);
  const std::vector<Event> events = recorder.events();
  ASSERT_EQ(events.size(), 7u);
  EXPECT_EQ(events[1], (Event{0, 9, 1, 100, 1, 3, EventKind::kPosted, kReceives}));
  EXPECT_EQ(events[3], (Event{0, 9, 1, 0, 1, 3, EventKind::kArrived, kReceives}));
  EXPECT_EQ(events[4], (Event{0, 9, 1, 0, 1, 3, EventKind::kUnpacking, kReceives}));
  EXPECT_EQ(events[5], (Event{0, 9, 0, 0, 1, 3, EventKind::kReleased, kReceives}));
  EXPECT_EQ(events[6], (Event{0, 9, 1, 0, 1, 3, EventKind::kFailed, kReceives}));
}

TEST(ChannelRecord, KnowsHowOldItsOldestChunkIs) {
  Recorder recorder(8);
  ChannelRecord record(recorder, 1, 0, kSends);
  ChannelRecord other(recorder, 1, 0, kReceives);
  EXPECT_EQ(record.oldest_for(), 0);
  recorder.at(100);
  record.posted(1, 1);
  recorder.at(150);
  record.posted(1, 1);
  other.posted(2, 1);
  recorder.at(180);
  EXPECT_EQ(record.oldest_for(), 80);
  record.released(1, true);
  EXPECT_EQ(record.oldest_for(), 30);
  record.released(1, true);
  EXPECT_EQ(record.oldest_for(), 0);
  for (int i = 0; i < 8; ++i) recorder.add(of_number(0));
  EXPECT_EQ(other.oldest_for(), 0) << "it is forgotten";
}

TEST(ChannelRecord, TellsOfBusyOnceUntilSomethingIsPosted) {
  Recorder recorder(16);
  ChannelRecord record(recorder, 1, 0, kSends);
  for (int i = 0; i < 3; ++i) record.busy();
  record.posted(1, 1);
  for (int i = 0; i < 3; ++i) record.busy();
  const std::vector<Event> events = recorder.events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].kind, EventKind::kBusy);
  EXPECT_EQ(events[2].kind, EventKind::kBusy);
}

TEST(Event, HasTheWholeLengthOfATransfer) {
  Event event{};
  event.number = 0x12;
  event.bytes = 0x34;
  EXPECT_EQ(length_of(event), 0x12'0000'0034u);
}

}  // namespace
}  // namespace sluice
