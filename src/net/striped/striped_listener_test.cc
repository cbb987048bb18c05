// Making striped channels: both ends polled, strangers, two senders with one handle, half a sender.
#include "src/net/striped/striped_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "src/net/striped/striped_connector.h"
#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using testing::eventually;

class StripedListenerTest : public ::testing::Test {
 protected:
  ManualClock clock;
  std::unique_ptr<StripedListener> listener;
  std::unique_ptr<StripedChannel> receiver;
  std::unique_ptr<StripedChannel> sender;
  Status failure;

  static StripedNic nic(std::uint16_t sockets) {
    StripedNic result;
    result.address = *SocketAddress::numeric("127.0.0.1", 0);
    result.sockets = sockets;
    return result;
  }
  void listen(std::uint16_t sockets) {
    auto made = StripedListener::create(nic(sockets), clock);
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    listener = made.take();
  }
  std::unique_ptr<StripedConnector> connector() {
    // The sender's own number of sockets is another: the handle's counts.
    auto made = StripedConnector::create(nic(7), listener->handle());
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return made.take();
  }
  MakeAnswer connect(StripedConnector& connector) {
    MakeAnswer answer = MakeAnswer::kNotYet;
    EXPECT_TRUE(eventually(
        [&] { return (answer = connector.connect(sender, failure)) != MakeAnswer::kNotYet; }));
    return answer;
  }
  MakeAnswer accept() {
    MakeAnswer answer = MakeAnswer::kNotYet;
    EXPECT_TRUE(eventually(
        [&] { return (answer = listener->accept(receiver, failure)) != MakeAnswer::kNotYet; }));
    return answer;
  }
  // One socket of a sender that says what the test wants.
  Fd knock(std::uint16_t number, std::uint64_t sender_number) {
    const auto handle = decode_striped_handle(listener->handle());
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), handle->data.address.get(), handle->data.address.length()),
              0);
    const auto hello =
        encode_hello({.nonce = handle->data.nonce, .features = number, .sender = sender_number});
    EXPECT_EQ(::send(socket.get(), hello.data(), hello.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(hello.size()));
    return socket;
  }
  // One test of a channel: bytes go through.
  void expect_works() {
    auto from = pattern(1 << 20, 1);
    std::vector<std::byte> into(1 << 20);
    std::uint32_t receive = 0;
    std::uint32_t send = 0;
    ASSERT_EQ(receiver->post(into.data(), into.size(), receive), PostAnswer::kPosted);
    ASSERT_EQ(sender->post(from.data(), from.size(), send), PostAnswer::kPosted);
    std::uint64_t bytes = 0;
    ASSERT_TRUE(eventually([&] { return sender->test(send, bytes) != TestAnswer::kPending; }));
    ASSERT_TRUE(eventually([&] { return receiver->test(receive, bytes) != TestAnswer::kPending; }));
    EXPECT_EQ(into, from);
  }
};

TEST_F(StripedListenerTest, NobodyComes) {
  listen(2);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(listener->accept(receiver, failure), MakeAnswer::kNotYet);
    clock.advance(from_ms(60'000));
  }
}

TEST_F(StripedListenerTest, ConnectingMayBeMadeBeforeAcceptingIsAsked) {
  for (const int sockets : {1, 2, 16}) {
    listen(static_cast<std::uint16_t>(sockets));
    ASSERT_EQ(connect(*connector()), MakeAnswer::kMade) << failure.to_string();
    ASSERT_EQ(accept(), MakeAnswer::kMade) << failure.to_string();
    expect_works();
  }
}

TEST_F(StripedListenerTest, AHandleIsGoodForOneChannel) {
  listen(2);
  ASSERT_EQ(connect(*connector()), MakeAnswer::kMade);
  ASSERT_EQ(accept(), MakeAnswer::kMade);
  std::unique_ptr<StripedChannel> second;
  EXPECT_EQ(listener->accept(second, failure), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kInvalidArgument);
  expect_works();
}

TEST_F(StripedListenerTest, StrangersAreTurnedAway) {
  listen(2);
  const auto handle = decode_striped_handle(listener->handle());
  std::vector<Fd> strangers;
  for (int i = 0; i < 3; ++i) {
    Fd stranger(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(stranger.get(), handle->data.address.get(), handle->data.address.length()),
              0);
    strangers.push_back(std::move(stranger));
  }
  const auto wrong =
      encode_hello({.nonce = random_data_nonce(), .features = 1, .sender = 1});  // Not our nonce.
  ::send(strangers[0].get(), wrong.data(), wrong.size(), MSG_NOSIGNAL);
  ::send(strangers[1].get(), "GET / HTTP/1.1\r\n", 16, MSG_NOSIGNAL);  // The third says nothing.
  ASSERT_EQ(connect(*connector()), MakeAnswer::kMade);
  ASSERT_EQ(accept(), MakeAnswer::kMade) << failure.to_string();
  expect_works();
}

TEST_F(StripedListenerTest, TwoSendersWithOneHandleAreToldApart) {
  listen(2);
  const Fd one = knock(1, 111);
  const Fd two = knock(2, 222);
  ASSERT_EQ(accept(), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kProtocol);
}

TEST_F(StripedListenerTest, SocketsAreNumbered) {
  listen(2);
  const Fd one = knock(2, 111);
  const Fd two = knock(2, 111);
  ASSERT_EQ(accept(), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kProtocol);
}

TEST_F(StripedListenerTest, HalfASenderFailsWhenItDies) {
  listen(2);
  { const Fd one = knock(1, 111); }
  ASSERT_EQ(accept(), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kPeerLost);
}

TEST_F(StripedListenerTest, HalfASenderFailsWhenItsTimeIsOver) {
  listen(2);
  const Fd one = knock(1, 111);
  ASSERT_TRUE(eventually([&] {
    clock.advance(from_ms(1000));
    return listener->accept(receiver, failure) == MakeAnswer::kFailed;
  }));
  EXPECT_EQ(failure.code(), StatusCode::kTimedOut);
}

TEST_F(StripedListenerTest, NobodyListensIsAnErrorOfConnecting) {
  listen(2);
  auto connecting = connector();
  listener.reset();
  auto late = StripedConnector::create(
      nic(2), encode_striped_handle({.sockets = 2,
                                     .data = {.nonce = random_data_nonce(),
                                              .address = *SocketAddress::numeric("127.0.0.1", 1),
                                              .abilities = 0}}));
  ASSERT_TRUE(late.ok());
  EXPECT_EQ(connect(**late), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kUnavailable);
}

TEST_F(StripedListenerTest, GarbageIsNoHandle) {
  std::array<std::byte, kStripedHandleBytes> garbage{};
  const auto made = StripedConnector::create(nic(2), garbage);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), StatusCode::kProtocol);
}

}  // namespace
}  // namespace sluice
