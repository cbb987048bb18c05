// The tcp Net among strangers, in numbers, and asleep.
#include <gtest/gtest.h>

#include "src/net/tcp/tcp_net_fixture.h"

namespace sluice {
namespace {

TEST_F(TcpNetTest, StrangersOnThePortDisturbNobody) {
  testing::LogCatcher log;
  auto listener = listen();
  const auto garbage = pattern(5000, 3);
  std::vector<Fd> strangers;
  for (int i = 0; i < 20; ++i) {
    strangers.push_back(knock(listener->handle(), {}));
    strangers.push_back(knock(listener->handle(), garbage));
    strangers.push_back(
        knock(listener->handle(),
              encode_hello({.nonce = random_data_nonce(), .features = 0, .sender = 0})));
  }
  strangers.push_back(knock(listener->handle(), std::span(garbage).first(3)));
  auto connector = there->connect(0, listener->handle());
  Status failure;
  ASSERT_EQ(connect(**connector, failure), MakeAnswer::kMade);
  ASSERT_EQ(accept(*listener, failure), MakeAnswer::kMade);
  EXPECT_EQ(log.count("closed: "), 40u);
  auto data = pattern(100, 1);
  std::vector<std::byte> room(100);
  ASSERT_EQ(post_recv(room), PostAnswer::kPosted);
  ASSERT_EQ(post_send(data), PostAnswer::kPosted);
  std::uint64_t bytes = 0;
  ASSERT_EQ(finish_recv(bytes), TestAnswer::kDone);
  EXPECT_EQ(room, data);
}

TEST_F(TcpNetTest, AFeatureThatTheListenerDidNotOfferIsRefused) {
  auto listener = listen();
  const auto handle = decode_handle(listener->handle());
  const Fd client = knock(listener->handle(),
                          encode_hello({.nonce = handle->nonce, .features = 0x8000, .sender = 0}));
  Status failure;
  ASSERT_EQ(accept(*listener, failure), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kProtocol);
  EXPECT_EQ(receiver, nullptr);
}

TEST_F(TcpNetTest, AListenerThatIsGoneRefusesItsConnector) {
  testing::LogCatcher log;
  auto other = listen();
  auto listener = listen();
  const std::vector<std::byte> handle(listener->handle().begin(), listener->handle().end());
  listener.reset();
  auto connector = there->connect(0, handle);
  ASSERT_TRUE(connector.ok());
  Status failure;
  ASSERT_EQ(connect(**connector, failure), MakeAnswer::kMade);  // The kernel took the connection.
  ASSERT_TRUE(eventually([&] {
    here->progress();
    return log.count("nobody waits for its nonce") == 1;
  }));
  std::vector<std::byte> data(1 << 20);
  for (int i = 0; i < 3; ++i) {
    if (post_send(data) == PostAnswer::kPosted) {
      EXPECT_NE(finish_send(), TestAnswer::kPending);
    }
  }
  EXPECT_EQ(sender->failure().code(), StatusCode::kPeerLost);
}

TEST_F(TcpNetTest, ARefusedConnectionFailsWithItsAddress) {
  std::vector<std::byte> handle;
  {
    auto listener = listen();
    handle.assign(listener->handle().begin(), listener->handle().end());
  }
  here.reset();  // Its port is closed now.
  auto connector = there->connect(0, handle);
  ASSERT_TRUE(connector.ok());
  Status failure;
  ASSERT_EQ(connect(**connector, failure), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kUnavailable);
  EXPECT_NE(failure.message().find("connecting to 127.0.0.1:"), std::string_view::npos)
      << failure.message();
  EXPECT_EQ(sender, nullptr);
}

TEST_F(TcpNetTest, ManyChannelsMoveAtOnce) {
  constexpr std::size_t kChannels = 8;
  struct Pair {
    std::unique_ptr<SendChannel> sender;
    std::unique_ptr<RecvChannel> receiver;
    std::vector<std::byte> in = std::vector<std::byte>(300'000);
    std::vector<std::byte> out;
  };
  std::deque<Pair> pairs(kChannels);
  for (Pair& pair : pairs) {
    make_channel();
    pair.sender = std::move(sender);
    pair.receiver = std::move(receiver);
  }
  for (std::uint64_t round = 0; round < 20; ++round) {
    for (std::size_t i = 0; i < kChannels; ++i) {
      pairs[i].out = pattern(300'000 - i, round * 100 + i);
      ASSERT_EQ(pairs[i].receiver->post(pairs[i].in.data(), 300'000, *memory), PostAnswer::kPosted);
      ASSERT_EQ(pairs[i].sender->post(pairs[i].out.data(), 300'000 - i, *memory),
                PostAnswer::kPosted);
    }
    for (std::size_t i = 0; i < kChannels; ++i) {
      receiver = std::move(pairs[i].receiver);
      sender = std::move(pairs[i].sender);
      std::uint64_t bytes = 0;
      ASSERT_EQ(finish_recv(bytes), TestAnswer::kDone);
      ASSERT_EQ(bytes, 300'000 - i);
      ASSERT_EQ(finish_send(), TestAnswer::kDone);
      ASSERT_TRUE(std::equal(pairs[i].out.begin(), pairs[i].out.end(), pairs[i].in.begin()));
      pairs[i].receiver = std::move(receiver);
      pairs[i].sender = std::move(sender);
    }
  }
}

// The engine's way to sleep, on both ends, with every size: no chunk is slept through.
TEST_F(TcpNetTest, ArmingAndSleepingMissesNothing) {
  make_channel();
  constexpr int kChunks = 2000;
  const auto size = [](int i) { return i % 10 == 0 ? 300'000u : static_cast<unsigned>(i % 5000); };
  const auto sleep = [](TcpNet& net, auto pass) {
    net.arm();
    if (!pass()) {
      ASSERT_TRUE(testing::readable(net.wake_fd(), 20'000)) << "slept through a chunk";
    }
    net.disarm();
  };
  std::thread sending([&] {
    std::deque<std::vector<std::byte>> out;
    int reported = 0;
    const auto pass = [&] {
      bool some = false;
      while (!out.empty() && sender->test_oldest() == TestAnswer::kDone) {
        out.pop_front();
        ++reported;
        some = true;
      }
      while (reported + static_cast<int>(out.size()) < kChunks && out.size() < 16) {
        const int i = reported + static_cast<int>(out.size());
        out.push_back(pattern(size(i), static_cast<std::uint64_t>(i)));
        EXPECT_EQ(sender->post(out.back().data(), out.back().size(), *memory), PostAnswer::kPosted);
        some = true;
      }
      return some;
    };
    while (reported < kChunks) sleep(*there, pass);
  });
  std::vector<std::vector<std::byte>> in(16, std::vector<std::byte>(300'000));
  int posted = 0;
  int reported = 0;
  const auto pass = [&] {
    bool some = false;
    Arrival arrival;
    while (reported < posted && receiver->test_oldest(arrival) == TestAnswer::kDone) {
      const auto& buffer = in[static_cast<std::size_t>(reported % 16)];
      const auto expected = pattern(size(reported), static_cast<std::uint64_t>(reported));
      EXPECT_EQ(arrival.bytes, expected.size());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), buffer.begin())) << reported;
      receiver->consume_oldest();
      ++reported;
      some = true;
    }
    // Sometimes few are posted, so that the engine thread moves some itself.
    for (; posted < kChunks && posted - reported < 1 + posted % 16; ++posted, some = true) {
      auto& buffer = in[static_cast<std::size_t>(posted % 16)];
      EXPECT_EQ(receiver->post(buffer.data(), buffer.size(), *memory), PostAnswer::kPosted);
    }
    return some;
  };
  while (reported < kChunks) sleep(*here, pass);
  sending.join();
}

TEST_F(TcpNetTest, WakesForAConnectionThatSomebodyWaitsFor) {
  auto listener = listen();
  EXPECT_FALSE(testing::readable(here->wake_fd(), 0));
  auto connector = there->connect(0, listener->handle());
  EXPECT_TRUE(testing::readable(there->wake_fd(), 20'000));  // To say hello.
  EXPECT_TRUE(testing::readable(here->wake_fd(), 20'000));
  Status failure;
  ASSERT_EQ(connect(**connector, failure), MakeAnswer::kMade);
  ASSERT_EQ(accept(*listener, failure), MakeAnswer::kMade);
  EXPECT_FALSE(testing::readable(here->wake_fd(), 0));
  EXPECT_FALSE(testing::readable(there->wake_fd(), 0));
}

TEST_F(TcpNetTest, ThousandChannelsLeaveNothingBehind) {
  const testing::LogCatcher log;
  make_channel();
  receiver.reset();
  sender.reset();
  const std::size_t descriptors = testing::open_descriptors();
  const std::size_t threads = testing::live_threads();
  std::vector<std::byte> data(10'000);
  for (int i = 0; i < 1000; ++i) {
    make_channel();
    if (i % 3 == 0) {
      ASSERT_EQ(post_recv(data), PostAnswer::kPosted);
      receiver->abort();
      std::uint64_t bytes = 0;
      ASSERT_EQ(finish_recv(bytes), TestAnswer::kFailed);
    }
    receiver.reset();
    sender.reset();
  }
  EXPECT_EQ(testing::open_descriptors(), descriptors);
  EXPECT_TRUE(eventually([&] { return testing::live_threads() == threads; }));
  for (int i = 0; i < 1000; ++i) {
    auto listener = listen();
    auto connector = there->connect(0, listener->handle());
  }
  EXPECT_TRUE(eventually([&] {
    auto listener = listen();
    here->progress();
    return testing::open_descriptors() == descriptors;
  }));
  for (int i = 0; i < 1000; ++i) make_net();
  EXPECT_EQ(testing::open_descriptors(), descriptors);
}

}  // namespace
}  // namespace sluice
