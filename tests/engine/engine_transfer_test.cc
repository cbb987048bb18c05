// What users do with two engines, when nothing goes wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "tests/engine/engine_fixture.h"

namespace sluice {
namespace {

struct Shape {
  std::uint32_t channels;
  std::uint64_t chunk_bytes;
  std::uint32_t window;
};

class EngineTransferTest : public ::testing::TestWithParam<Shape> {
 protected:
  static Options options() {
    Options options = loopback_options();
    options.channels = GetParam().channels;
    options.chunk_bytes = GetParam().chunk_bytes;
    options.window = GetParam().window;
    return options;
  }
};

TEST_P(EngineTransferTest, EverySizeUnaligned) {
  Pair pair(options(), options());
  constexpr std::size_t kLargest = (3 << 20) + 1;
  std::vector<std::byte> from = random_bytes(kLargest + 64, 1);
  std::vector<std::byte> into(kLargest + 64);
  const RegionId from_region = pair.a.add(from);
  const RegionId into_region = pair.b.add(into);
  for (const std::size_t size :
       {0u, 1u, 7u, 16u, 4095u, 4096u, 16u << 10, (16u << 10) + 1, 65'537u, 262'144u, 262'145u,
        524'288u, 1'048'577u, 3u << 20, (3u << 20) + 1}) {
    std::fill(into.begin(), into.end(), std::byte{0xee});
    const auto recv = pair.b.engine->recv(pair.a_at_b, {into_region, 5, size});
    const auto send = pair.a.engine->send(pair.b_at_a, {from_region, 3, size});
    ASSERT_TRUE(recv.ok() && send.ok());
    ASSERT_TRUE(pair.finish(*send, *recv)) << size;
    EXPECT_TRUE(pair.a.done[*send].status.ok());
    EXPECT_TRUE(pair.b.done[*recv].status.ok());
    EXPECT_EQ(pair.a.done[*send].bytes, size);
    EXPECT_EQ(pair.b.done[*recv].bytes, size);
    ASSERT_TRUE(same_bytes(std::span(into).subspan(5, size), std::span(from).subspan(3, size)))
        << size;
    EXPECT_EQ(into[4], std::byte{0xee});
    EXPECT_EQ(into[5 + size], std::byte{0xee});
  }
}

TEST_P(EngineTransferTest, ManyMessagesBothWaysAtOnce) {
  Pair pair(options(), options());
  constexpr int kMessages = 60;
  constexpr std::size_t kStride = 300'000;
  std::vector<std::byte> a_from = random_bytes(kMessages * kStride, 2);
  std::vector<std::byte> b_from = random_bytes(kMessages * kStride, 3);
  std::vector<std::byte> a_into(a_from.size());
  std::vector<std::byte> b_into(a_from.size());
  const RegionId regions[] = {pair.a.add(a_from), pair.b.add(b_from), pair.a.add(a_into),
                              pair.b.add(b_into)};
  std::mt19937 random(4);
  std::vector<std::size_t> sizes;
  for (int i = 0; i < kMessages; ++i) {
    const std::size_t size = i % 3 == 0 ? random() % 20'000 : random() % kStride;
    sizes.push_back(size);
    const std::uint64_t at = static_cast<std::uint64_t>(i) * kStride;
    // Receives before and after the sends they meet.
    if (i % 2 == 0) {
      ASSERT_TRUE(pair.b.engine->recv(pair.a_at_b, {regions[3], at, kStride}).ok());
    }
    ASSERT_TRUE(pair.a.engine->send(pair.b_at_a, {regions[0], at, size}).ok());
    ASSERT_TRUE(pair.b.engine->send(pair.a_at_b, {regions[1], at, size}).ok());
    if (i % 2 != 0) {
      ASSERT_TRUE(pair.b.engine->recv(pair.a_at_b, {regions[3], at, kStride}).ok());
    }
    ASSERT_TRUE(pair.a.engine->recv(pair.b_at_a, {regions[2], at, kStride}).ok());
    if (i % 7 == 0) pair.a.pass();
  }
  ASSERT_TRUE(pair.drive(
      [&] { return pair.a.done.size() == 2 * kMessages && pair.b.done.size() == 2 * kMessages; }));
  for (int i = 0; i < kMessages; ++i) {
    const auto message = [&, at = static_cast<std::size_t>(i)](const auto& all) {
      return std::span(all).subspan(at * kStride, sizes[at]);
    };
    EXPECT_TRUE(same_bytes(message(a_from), message(b_into))) << i;
    EXPECT_TRUE(same_bytes(message(b_from), message(a_into))) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EngineTransferTest,
                         ::testing::Values(Shape{1, 512 << 10, 16}, Shape{2, 512 << 10, 16},
                                           Shape{3, 64 << 10, 1}, Shape{8, 4 << 10, 2},
                                           Shape{8, 1 << 20, 64}),
                         [](const auto& tested) {
                           return "channels" + std::to_string(tested.param.channels) + "_chunk" +
                                  std::to_string(tested.param.chunk_bytes) + "_window" +
                                  std::to_string(tested.param.window);
                         });

TEST(EngineTransfer, WindowFullNeverStopsOneChannel) {
  Options options = loopback_options();
  options.channels = 1;
  options.chunk_bytes = 64 << 10;
  options.window = 16;
  Pair pair(options, options);
  std::vector<std::byte> from = random_bytes(64 << 20, 5);
  std::vector<std::byte> into(from.size());
  const auto send = pair.a.engine->send(pair.b_at_a, {pair.a.add(from), 0, from.size()});
  const auto recv = pair.b.engine->recv(pair.a_at_b, {pair.b.add(into), 0, into.size()});
  ASSERT_TRUE(pair.finish(*send, *recv));
  EXPECT_TRUE(same_bytes(from, into));
}

TEST(EngineTransfer, SendsAskedForBeforeThePeerIsConnected) {
  Host a;
  Host b;
  std::vector<std::byte> from = random_bytes(1 << 20, 6);
  std::vector<std::byte> into(from.size());
  const auto peer = a.engine->connect(b.engine->address());
  const auto send = a.engine->send(*peer, {a.add(from), 0, from.size()});
  ASSERT_TRUE(send.ok());
  ASSERT_TRUE(drive({&a, &b}, [&] { return b.event(PeerEventKind::kConnected) != nullptr; }));
  const auto recv = b.engine->recv(b.events[0].peer, {b.add(into), 0, into.size()});
  ASSERT_TRUE(drive({&a, &b}, [&] { return a.finished(*send) && b.finished(*recv); }));
  EXPECT_TRUE(same_bytes(from, into));
}

TEST(EngineTransfer, ToOneself) {
  Host a;
  const auto peer = a.engine->connect(a.engine->address());
  ASSERT_TRUE(drive({&a}, [&] { return a.events.size() == 2; }));
  const PeerId other = a.events[0].peer == *peer ? a.events[1].peer : a.events[0].peer;
  std::vector<std::byte> from = random_bytes(1 << 20, 7);
  std::vector<std::byte> into(from.size());
  const auto send = a.engine->send(*peer, {a.add(from), 0, from.size()});
  const auto recv = a.engine->recv(other, {a.add(into), 0, into.size()});
  ASSERT_TRUE(drive({&a}, [&] { return a.finished(*send) && a.finished(*recv); }));
  EXPECT_TRUE(same_bytes(from, into));
}

TEST(EngineTransfer, ATooLongMessageFailsAloneAtBothEnds) {
  Pair pair;
  std::vector<std::byte> from = random_bytes(1 << 20, 8);
  std::vector<std::byte> into(from.size());
  const RegionId from_region = pair.a.add(from);
  const RegionId into_region = pair.b.add(into);
  for (const std::uint64_t size : {std::uint64_t{100}, std::uint64_t{1 << 20}}) {
    const auto recv = pair.b.engine->recv(pair.a_at_b, {into_region, 0, size - 1});
    const auto send = pair.a.engine->send(pair.b_at_a, {from_region, 0, size});
    const auto next_recv = pair.b.engine->recv(pair.a_at_b, {into_region, 0, size});
    const auto next_send = pair.a.engine->send(pair.b_at_a, {from_region, 0, size});
    ASSERT_TRUE(pair.finish(*send, *recv));
    EXPECT_EQ(pair.a.done[*send].status.code(), StatusCode::kTooLong);
    EXPECT_EQ(pair.b.done[*recv].status.code(), StatusCode::kTooLong);
    EXPECT_EQ(pair.b.done[*recv].bytes, 0u);
    ASSERT_TRUE(pair.finish(*next_send, *next_recv));
    EXPECT_TRUE(pair.b.done[*next_recv].status.ok());
  }
}

TEST(EngineTransfer, MoreTransfersThanPlacesWouldBlockAndGoOn) {
  Options options = loopback_options();
  options.max_transfers = 8;
  Pair pair(options, options);
  std::vector<std::byte> from(8);
  const RegionId region = pair.a.add(from);
  std::size_t accepted = 0;
  while (pair.a.engine->send(pair.b_at_a, {region, 0, 8}).ok()) ++accepted;
  EXPECT_EQ(accepted, 8u);
  EXPECT_EQ(pair.a.engine->send(pair.b_at_a, {region, 0, 8}).status().code(),
            StatusCode::kWouldBlock);
  std::vector<std::byte> into(8);
  const RegionId into_region = pair.b.add(into);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(pair.b.engine->recv(pair.a_at_b, {into_region, 0, 8}).ok());
  }
  ASSERT_TRUE(pair.drive([&] { return pair.a.done.size() == 8 && pair.b.done.size() == 8; }));
  EXPECT_TRUE(pair.a.engine->send(pair.b_at_a, {region, 0, 8}).ok());
}

// More receives than credits that may be outstanding, and a message among them that takes long.
TEST(EngineTransfer, MoreReceivesThanCredits) {
  Options options = loopback_options();
  options.max_transfers = 5000;
  Pair pair(options, options);
  std::vector<std::byte> from = random_bytes(1 << 20, 9);
  std::vector<std::byte> into(1 << 20);
  const RegionId from_region = pair.a.add(from);
  const RegionId into_region = pair.b.add(into);
  constexpr int kMessages = 2500;
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(pair.b.engine->recv(pair.a_at_b, {into_region, 0, 1 << 20}).ok());
    ASSERT_TRUE(pair.a.engine->send(pair.b_at_a, {from_region, 0, i == 10 ? 1u << 20 : 64u}).ok());
  }
  ASSERT_TRUE(pair.drive(
      [&] { return pair.a.done.size() == kMessages && pair.b.done.size() == kMessages; }));
  for (const auto& [id, completion] : pair.b.done) EXPECT_TRUE(completion.status.ok());
}

TEST(EngineTransfer, WhatTheCallerGetsWrongNamesTheValues) {
  Pair pair;
  std::vector<std::byte> memory(100);
  const RegionId region = pair.a.add(memory);
  auto status = [&](PeerId peer, Slice slice) { return pair.a.engine->send(peer, slice).status(); };
  EXPECT_EQ(status(PeerId(999), {region, 0, 1}).code(), StatusCode::kNotFound);
  EXPECT_EQ(status(pair.b_at_a, {RegionId(77), 0, 1}).code(), StatusCode::kNotFound);
  const Status outside = status(pair.b_at_a, {region, 60, 41});
  EXPECT_EQ(outside.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(outside.message().find("41"), std::string_view::npos);
  EXPECT_NE(outside.message().find("100"), std::string_view::npos);
  EXPECT_EQ(pair.a.engine->register_memory(nullptr, 1, Memory::kHost).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(pair.a.engine->register_memory(memory.data(), 1, Memory::kCuda).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(pair.a.engine->deregister(RegionId(77)).code(), StatusCode::kNotFound);
  ASSERT_TRUE(pair.a.engine->send(pair.b_at_a, {region, 0, 1}).ok());
  EXPECT_EQ(pair.a.engine->deregister(region).code(), StatusCode::kWouldBlock);
  EXPECT_EQ(pair.a.engine->disconnect(PeerId(999)).code(), StatusCode::kNotFound);
}

TEST(EngineReport, TellsASendWithoutReceiveFromAReceiveWithoutSend) {
  Pair pair;
  EXPECT_NE(pair.a.engine->report().find("nothing is asked for"), std::string::npos);
  std::vector<std::byte> memory(1 << 20);
  const RegionId at_a = pair.a.add(memory);
  ASSERT_TRUE(pair.a.engine->send(pair.b_at_a, {at_a, 0, memory.size()}).ok());
  pair.a.pass();
  const std::string sender = pair.a.engine->report();
  EXPECT_NE(sender.find("1 sends, 0 credits"), std::string::npos) << sender;
  EXPECT_NE(sender.find("the peer has posted no receive"), std::string::npos) << sender;

  Pair other;
  std::vector<std::byte> into(1 << 20);
  const RegionId at_b = other.b.add(into);
  ASSERT_TRUE(other.b.engine->recv(other.a_at_b, {at_b, 0, into.size()}).ok());
  ASSERT_TRUE(other.drive(
      [&] { return other.a.engine->report().find("0 sends, 1 credits") != std::string::npos; }));
  const std::string receiver = other.b.engine->report();
  EXPECT_NE(receiver.find("1 receives, 1 not announced"), std::string::npos) << receiver;
  EXPECT_NE(receiver.find("receives wait for sends of the peer"), std::string::npos) << receiver;
}

}  // namespace
}  // namespace sluice
