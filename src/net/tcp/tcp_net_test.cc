#include "src/net/tcp/tcp_net.h"

#include <gtest/gtest.h>

#include "src/net/tcp/tcp_net_fixture.h"

namespace sluice {
namespace {

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

}  // namespace
}  // namespace sluice
