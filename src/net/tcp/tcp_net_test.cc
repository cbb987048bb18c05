#include "src/net/tcp/tcp_net.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/net/tcp/data_hello.h"
#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using testing::eventually;
using testing::pattern;

std::unique_ptr<TcpNet> make_net(TcpNetOptions options = {}) {
  static const SystemClock clock;
  auto net = TcpNet::create(std::move(options), clock);
  EXPECT_TRUE(net.ok()) << net.status().to_string();
  return net.take();
}

class TcpNetTest : public ::testing::Test {
 protected:
  // The receiving and the sending engine's.
  std::unique_ptr<TcpNet> here;
  std::unique_ptr<TcpNet> there;
  std::unique_ptr<NetMemory> memory;
  std::unique_ptr<RecvChannel> receiver;
  std::unique_ptr<SendChannel> sender;

  void SetUp() override { make_nets({}); }
  void make_nets(const TcpNetOptions& options) {
    here = make_net(options);
    there = make_net(options);
    memory = here->register_memory({}, Memory::kHost).take();
  }

  std::unique_ptr<Listener> listen() {
    auto listener = here->listen(0, "127.0.0.1");
    EXPECT_TRUE(listener.ok()) << listener.status().to_string();
    return listener.take();
  }
  MakeAnswer accept(Listener& listener, Status& failure) {
    MakeAnswer answer = MakeAnswer::kNotYet;
    EXPECT_TRUE(eventually([&] {
      here->progress();
      return (answer = listener.accept(receiver, failure)) != MakeAnswer::kNotYet;
    }));
    return answer;
  }
  MakeAnswer connect(Connector& connector, Status& failure) {
    MakeAnswer answer = MakeAnswer::kNotYet;
    EXPECT_TRUE(eventually([&] {
      there->progress();
      return (answer = connector.connect(sender, failure)) != MakeAnswer::kNotYet;
    }));
    return answer;
  }
  void make_channel() {
    auto listener = listen();
    auto connector = there->connect(0, listener->handle());
    ASSERT_TRUE(connector.ok()) << connector.status().to_string();
    Status failure;
    ASSERT_EQ(connect(**connector, failure), MakeAnswer::kMade) << failure.to_string();
    ASSERT_EQ(accept(*listener, failure), MakeAnswer::kMade) << failure.to_string();
  }
  // A raw client of the listening port that `handle` names.
  static Fd knock(std::span<const std::byte> handle, std::span<const std::byte> says) {
    const auto decoded = decode_handle(handle);
    EXPECT_TRUE(decoded.ok());
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(client.get(), decoded->address.get(), decoded->address.length()), 0);
    if (!says.empty()) {
      EXPECT_EQ(::send(client.get(), says.data(), says.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(says.size()));
    }
    return client;
  }

  PostAnswer post_send(std::vector<std::byte>& data) {
    return sender->post(data.data(), data.size(), *memory);
  }
  PostAnswer post_recv(std::vector<std::byte>& data) {
    return receiver->post(data.data(), data.size(), *memory);
  }
  TestAnswer finish_send() {
    TestAnswer answer = TestAnswer::kPending;
    EXPECT_TRUE(
        eventually([&] { return (answer = sender->test_oldest()) != TestAnswer::kPending; }));
    return answer;
  }
  TestAnswer finish_recv(std::uint64_t& bytes) {
    TestAnswer answer = TestAnswer::kPending;
    Arrival arrival;
    EXPECT_TRUE(eventually(
        [&] { return (answer = receiver->test_oldest(arrival)) != TestAnswer::kPending; }));
    bytes = arrival.bytes;
    EXPECT_TRUE(arrival.fragments.empty());
    if (answer == TestAnswer::kDone) receiver->consume_oldest();
    return answer;
  }
};

TEST_F(TcpNetTest, SaysWhatItIs) {
  EXPECT_EQ(here->name(), "tcp");
  ASSERT_EQ(here->devices().size(), 1u);
  const Device& device = here->devices()[0];
  EXPECT_EQ(device.name, "tcp");
  EXPECT_TRUE(device.host_memory);
  EXPECT_FALSE(device.cuda_memory);
  EXPECT_EQ(device.delivery, Delivery::kInPlace);
  EXPECT_EQ(device.most_in_flight, 16u);
  EXPECT_GE(device.largest_chunk, 8u << 20);
  EXPECT_GE(here->wake_fd(), 0);
  EXPECT_EQ(here->register_memory({}, Memory::kCuda).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(TcpNetTest, BoundToAnInterfaceItBearsItsName) {
  make_nets({.bind_host = "lo"});
  EXPECT_EQ(here->devices()[0].name, "lo");
  auto listener = here->listen(0, "192.0.2.7");  // Not where it listens: the handle knows better.
  ASSERT_TRUE(listener.ok());
  EXPECT_EQ(decode_handle((*listener)->handle())->address.host(), "127.0.0.1");
}

TEST_F(TcpNetTest, RefusesBadOptions) {
  const SystemClock clock;
  const auto code = [&](TcpNetOptions options) {
    return TcpNet::create(std::move(options), clock).status().code();
  };
  EXPECT_EQ(code({.window = 0}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.window = 65}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.bind_host = "no-such-host-or-interface-" + std::string(300, 'x')}),
            StatusCode::kNotFound);
  EXPECT_NE(code({.congestion_control = "nosuch"}), StatusCode::kOk);
  EXPECT_EQ(code({.congestion_control = "reno"}), StatusCode::kOk);
  EXPECT_EQ(here->listen(1, "127.0.0.1").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(here->listen(0, "somewhere").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(here->connect(0, {}).status().code(), StatusCode::kProtocol);
  EXPECT_EQ(here->connect(7, {}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(TcpNetTest, BothProtocols) {
  if (!Fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)).valid()) GTEST_SKIP() << "no IPv6";
  auto listener = here->listen(0, "::1");
  ASSERT_TRUE(listener.ok());
  ASSERT_LE((*listener)->handle().size(), Net::kHandleBytes);
  auto connector = there->connect(0, (*listener)->handle());
  ASSERT_TRUE(connector.ok());
  Status failure;
  ASSERT_EQ(connect(**connector, failure), MakeAnswer::kMade) << failure.to_string();
  ASSERT_EQ(accept(**listener, failure), MakeAnswer::kMade) << failure.to_string();
}

TEST_F(TcpNetTest, SaysWhichCongestionControlItChoseAndWhy) {
  testing::LogCatcher log;
  make_nets({.congestion_control = "reno"});
  make_channel();
  EXPECT_EQ(log.count("congestion control reno: the user wants it"), 1u);
  EXPECT_EQ(log.count("receive buffer"), 1u);
}

TEST_F(TcpNetTest, ChunksOfEverySizeAndAlignmentArriveAsSent) {
  make_channel();
  std::vector<std::size_t> sizes = {0, 1, 0, 0, 7, 4095, 4096, 4097, 65536, 131072, 131073};
  sizes.insert(sizes.end(), {8 << 20, 0, (8 << 20) + 1, 1, 524288, 524287, 0});
  std::vector<std::byte> source(9 << 20);
  std::vector<std::byte> target(9 << 20);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t from = i * 3 % 7;
    const std::size_t into = i * 5 % 11;
    const auto bytes = pattern(sizes[i], i);
    std::copy(bytes.begin(), bytes.end(), source.begin() + static_cast<std::ptrdiff_t>(from));
    std::fill(target.begin(), target.end(), std::byte{0xee});
    const std::size_t room = sizes[i] + i % 3 * 1000;  // Some with more room than is sent.
    ASSERT_EQ(receiver->post(target.data() + into, room, *memory), PostAnswer::kPosted);
    ASSERT_EQ(sender->post(source.data() + from, sizes[i], *memory), PostAnswer::kPosted);
    std::uint64_t arrived = 0;
    ASSERT_EQ(finish_recv(arrived), TestAnswer::kDone) << receiver->failure().to_string();
    ASSERT_EQ(finish_send(), TestAnswer::kDone);
    ASSERT_EQ(arrived, sizes[i]);
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), target.data() + into));
    ASSERT_EQ(target[into + sizes[i]], std::byte{0xee});
    ASSERT_TRUE(into == 0 || target[into - 1] == std::byte{0xee});
  }
  EXPECT_TRUE(sender->failure().ok());
  EXPECT_TRUE(receiver->failure().ok());
}

TEST_F(TcpNetTest, AFullWindowIsBusyAndGoesOnOnceReported) {
  for (const std::uint32_t window : {1u, 16u, 64u}) {
    receiver.reset();
    sender.reset();
    make_nets({.window = window});
    make_channel();
    std::vector<std::vector<std::byte>> out;
    std::vector<std::vector<std::byte>> in(3 * window, std::vector<std::byte>(20'000));
    for (std::uint32_t i = 0; i < 3 * window; ++i) out.push_back(pattern(20'000, i));
    std::uint32_t posted_out = 0;
    std::uint32_t posted_in = 0;
    for (; post_send(out[posted_out]) == PostAnswer::kPosted; ++posted_out) {
    }
    for (; post_recv(in[posted_in]) == PostAnswer::kPosted; ++posted_in) {
    }
    ASSERT_EQ(posted_out, window);
    ASSERT_EQ(posted_in, window);
    std::uint32_t received = 0;
    std::uint32_t sent = 0;
    while (received < 3 * window) {
      std::uint64_t bytes = 0;
      ASSERT_EQ(finish_recv(bytes), TestAnswer::kDone);
      ASSERT_EQ(in[received], out[received]) << received;
      ++received;
      if (sent < 3 * window) {
        ASSERT_EQ(finish_send(), TestAnswer::kDone);
        ++sent;
      }
      if (posted_in < 3 * window) {
        ASSERT_EQ(post_recv(in[posted_in++]), PostAnswer::kPosted);
      }
      if (posted_out < 3 * window) {
        ASSERT_EQ(post_send(out[posted_out++]), PostAnswer::kPosted);
      }
    }
  }
}

TEST_F(TcpNetTest, ALongerChunkThanPostedFailsTheChannel) {
  for (const std::size_t size : {std::size_t{1000}, std::size_t{1} << 20}) {
    testing::LogCatcher log;
    make_channel();
    auto data = pattern(size, 1);
    std::vector<std::byte> room(size - 1, std::byte{0xee});
    const auto untouched = room;
    ASSERT_EQ(post_recv(room), PostAnswer::kPosted);
    ASSERT_EQ(post_send(data), PostAnswer::kPosted);
    std::uint64_t bytes = 0;
    ASSERT_EQ(finish_recv(bytes), TestAnswer::kFailed);
    EXPECT_EQ(receiver->failure().code(), StatusCode::kTooLong);
    EXPECT_EQ(room, untouched);
    EXPECT_EQ(post_recv(room), PostAnswer::kFailed);
    EXPECT_EQ(log.count("TooLong"), 1u);
    sender->abort();
    receiver.reset();
    sender.reset();
  }
}

TEST_F(TcpNetTest, TheRestFailsInOrderWhenThePeerCloses) {
  testing::LogCatcher log;
  make_channel();
  std::vector<std::vector<std::byte>> in(4, std::vector<std::byte>(1 << 20));
  for (auto& buffer : in) ASSERT_EQ(post_recv(buffer), PostAnswer::kPosted);
  auto data = pattern(1 << 20, 1);
  ASSERT_EQ(post_send(data), PostAnswer::kPosted);
  ASSERT_EQ(finish_send(), TestAnswer::kDone);
  sender.reset();  // What was Done is on its way all the same.
  std::uint64_t bytes = 0;
  ASSERT_EQ(finish_recv(bytes), TestAnswer::kDone);
  EXPECT_EQ(in[0], data);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(finish_recv(bytes), TestAnswer::kFailed);
  EXPECT_EQ(receiver->failure().code(), StatusCode::kPeerLost);
  EXPECT_NE(receiver->failure().message().find("closed the connection before chunk 1"),
            std::string_view::npos)
      << receiver->failure().message();
  EXPECT_EQ(log.count("PeerLost"), 1u);
}

TEST_F(TcpNetTest, AnAbortInTheMiddleOfAChunkIsSaidSoAtTheOtherEnd) {
  make_channel();
  std::vector<std::byte> data(256 << 20);
  std::vector<std::byte> room(256 << 20);
  ASSERT_EQ(post_recv(room), PostAnswer::kPosted);
  ASSERT_EQ(post_send(data), PostAnswer::kPosted);
  sender->abort();
  const TestAnswer sent = finish_send();
  sender.reset();
  std::uint64_t bytes = 0;
  const TestAnswer received = finish_recv(bytes);
  ASSERT_EQ(received, sent);
  if (received == TestAnswer::kFailed) {
    EXPECT_EQ(receiver->failure().code(), StatusCode::kPeerLost);
    EXPECT_NE(receiver->failure().message().find("closed the connection"), std::string_view::npos);
  }
}

TEST_F(TcpNetTest, AbortReportsABlockedSendSoon) {
  make_channel();
  std::vector<std::byte> data(64 << 20);  // Nobody receives.
  for (int i = 0; i < 5; ++i) ASSERT_EQ(post_send(data), PostAnswer::kPosted);
  EXPECT_EQ(sender->test_oldest(), TestAnswer::kPending);
  EXPECT_TRUE(sender->failure().ok());
  sender->abort();
  EXPECT_EQ(post_send(data), PostAnswer::kFailed);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(finish_send(), TestAnswer::kFailed);
  EXPECT_EQ(sender->failure().code(), StatusCode::kClosed);
  sender->abort();
}

TEST_F(TcpNetTest, AbortReportsBlockedReceivesSoon) {
  for (const std::size_t size : {std::size_t{8}, std::size_t{1} << 20}) {
    make_channel();
    std::vector<std::byte> room(size);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(post_recv(room), PostAnswer::kPosted);
    receiver->abort();
    EXPECT_EQ(post_recv(room), PostAnswer::kFailed);
    std::uint64_t bytes = 0;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(finish_recv(bytes), TestAnswer::kFailed);
    EXPECT_EQ(receiver->failure().code(), StatusCode::kClosed);
    receiver.reset();
    sender.reset();
  }
}

TEST_F(TcpNetTest, ASenderLearnsThatItsReceiverIsGoneAndNoSignalComes) {
  ASSERT_NE(::signal(SIGPIPE, SIG_DFL), SIG_ERR);
  testing::LogCatcher log;
  make_channel();
  receiver.reset();
  std::vector<std::byte> data(1 << 20);
  PostAnswer posted = PostAnswer::kPosted;
  TestAnswer answer = TestAnswer::kDone;
  for (int i = 0; i < 1000 && posted == PostAnswer::kPosted && answer == TestAnswer::kDone; ++i) {
    posted = post_send(data);
    if (posted == PostAnswer::kPosted) answer = finish_send();
  }
  EXPECT_TRUE(posted == PostAnswer::kFailed || answer == TestAnswer::kFailed);
  EXPECT_EQ(sender->failure().code(), StatusCode::kPeerLost);
  EXPECT_EQ(log.count("PeerLost"), 1u);
}

TEST_F(TcpNetTest, StrangersOnThePortDisturbNobody) {
  testing::LogCatcher log;
  auto listener = listen();
  const auto garbage = pattern(5000, 3);
  std::vector<Fd> strangers;
  for (int i = 0; i < 20; ++i) {
    strangers.push_back(knock(listener->handle(), {}));
    strangers.push_back(knock(listener->handle(), garbage));
    strangers.push_back(
        knock(listener->handle(), encode_hello({.nonce = random_data_nonce(), .features = 0})));
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
  const Fd client =
      knock(listener->handle(), encode_hello({.nonce = handle->nonce, .features = 0x8000}));
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
