// Two TcpNets in one process, and a channel between them.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "src/net/tcp/data_hello.h"
#include "src/net/tcp/tcp_net.h"
#include "src/net/tcp/testing.h"

namespace sluice {

using testing::eventually;

inline std::unique_ptr<TcpNet> make_net(TcpNetOptions options = {}) {
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

}  // namespace sluice
