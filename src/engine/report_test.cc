#include "src/engine/report.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

ChannelFacts sending(std::uint32_t in_net, std::uint64_t tests) {
  return {true, 0, in_net, 16, in_net, tests, 0};
}
ChannelFacts receiving(std::uint32_t in_flight, std::uint32_t in_net, std::uint32_t announced) {
  return {false, 1, in_flight, 16, in_net, 7, announced};
}

bool means(const PeerFacts& peer, std::string_view part) {
  const std::string_view cause = likely_cause(peer).means;
  return cause.find(part) != std::string_view::npos && likely_cause(peer).attempt[0] != '\0';
}

TEST(LikelyCause, WhatComesFirstHidesWhatFollowsFromIt) {
  PeerFacts peer;
  peer.still_for = from_ms(1000);
  EXPECT_TRUE(means(peer, "nothing is asked for"));
  peer.unannounced = 2;
  EXPECT_TRUE(means(peer, "receives wait for sends of the peer"));
  peer.sends = 1;
  EXPECT_TRUE(means(peer, "posted no receive"));
  peer.credits = 1;
  EXPECT_TRUE(means(peer, "nobody makes passes here"));
  peer.channels = {receiving(2, 0, 0)};
  EXPECT_TRUE(means(peer, "not unpacked"));
  peer.channels = {receiving(2, 2, 0)};
  EXPECT_TRUE(means(peer, "announced chunks that do not arrive"));
  peer.channels.push_back(sending(16, 1'200'000));
  EXPECT_TRUE(means(peer, "does not finish what was sent"));
  peer.making_recv_channels = true;
  EXPECT_TRUE(means(peer, "channels are still being made"));
  peer.silent_for = from_ms(6000);
  EXPECT_TRUE(means(peer, "stopped"));
  peer.joining = true;
  EXPECT_TRUE(means(peer, "handshake"));
}

TEST(LikelyCause, WhatWaitsForAPlaceInTheWindowIsHeldHere) {
  PeerFacts peer;
  peer.still_for = from_ms(1000);
  peer.channels = {receiving(0, 0, 3)};
  EXPECT_TRUE(means(peer, "takes no more receives"));
}

TEST(LikelyCause, OfWhatMovesIsThatItMoves) {
  PeerFacts peer;
  peer.still_for = from_ms(20);
  EXPECT_TRUE(means(peer, "nothing is asked for"));
  peer.sends = 4;
  EXPECT_TRUE(means(peer, "posted no receive"));
  peer.channels = {sending(16, 7)};
  EXPECT_TRUE(means(peer, "it moves"));
  EXPECT_NE(report_text("x", {peer}).find(": something moved 20 ms ago, last heard"),
            std::string::npos);
  peer.still_for = from_ms(200);
  EXPECT_TRUE(means(peer, "does not finish what was sent"));
  peer.still_for = 0;
  peer.silent_for = from_ms(6000);
  EXPECT_TRUE(means(peer, "stopped"));
}

TEST(ReportText, HasEveryChannelWithItsWindow) {
  PeerFacts peer;
  peer.id = 3;
  peer.label = "gpu1 (10.0.0.2:20000)";
  peer.still_for = from_ms(5200);
  peer.sends = 4;
  peer.recv_rebuilds = 2;
  peer.control = "established, rtt 40 us";
  peer.channels = {sending(16, 1'200'000), receiving(1, 0, 2)};
  peer.channels[0].oldest_for = from_ms(5230);
  peer.channels[1].connection = "established, 7 bytes to read";
  const std::string text = report_text("gpu0", {peer});
  for (const char* part :
       {"engine gpu0: 1 peers", "peer 3 gpu1 (10.0.0.2:20000): nothing moved for 5.2 s",
        "send channel 0: window 16/16, oldest posted 5.2 s ago, 16 with the Net, the oldest tested "
        "1200000 times",
        "recv channel 1: window 1/16, 2 more announced; established, 7 bytes to read\n",
        "    channels rebuilt: send 0 times, recv 2 times\n",
        "    control: established, rtt 40 us\n", "means: ", "try: "}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(report_text("x", {}), "engine x: 0 peers\n");
}

}  // namespace
}  // namespace sluice
