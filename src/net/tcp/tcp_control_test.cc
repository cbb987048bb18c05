#include "src/net/tcp/tcp_control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "src/net/tcp/host_address.h"
#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::eventually;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class TcpControlTest : public ::testing::Test {
 protected:
  std::unique_ptr<TcpControlNet> net = TcpControlNet::create().take();

  std::vector<std::uint64_t> ready(std::size_t most = 64) const {
    std::vector<std::uint64_t> tags(most);
    tags.resize(net->ready(tags));
    return tags;
  }
  bool names(std::uint64_t tag) const {
    for (const std::uint64_t one : ready()) {
      if (one == tag) return true;
    }
    return false;
  }
  std::unique_ptr<ByteStream> accept() const {
    std::unique_ptr<ByteStream> stream;
    EXPECT_TRUE(eventually([&] { return (stream = net->accept()) != nullptr; }));
    return stream;
  }
  // Both ends in one net. Listens if it does not yet. Tags 1 (connecting end) and 2.
  void connect() {
    if (net->port() == 0) {
      ASSERT_TRUE(net->listen("127.0.0.1", 0).ok());
    }
    auto made = net->connect("127.0.0.1", net->port());
    ASSERT_TRUE(made.ok());
    client = made.take();
    client->tag = 1;
    server = accept();
    ASSERT_NE(server, nullptr);
    server->tag = 2;
  }
  static std::string read_text(ByteStream& stream, std::size_t most = 100) {
    std::string text(most, '\0');
    const IoResult result =
        stream.read(std::as_writable_bytes(std::span(text.data(), text.size())));
    EXPECT_EQ(result.answer, IoAnswer::kSome);
    text.resize(result.bytes);
    return text;
  }
  static IoAnswer read_answer(ByteStream& stream) {
    std::array<std::byte, 16> bytes{};
    return stream.read(bytes).answer;
  }
  // Both ends idle, the connecting one past its naming for having connected.
  void settle() {
    ASSERT_TRUE(eventually([&] { return names(1); }));
    ASSERT_TRUE(eventually([&] { return ready().empty(); }));
  }

  std::unique_ptr<ByteStream> client;
  std::unique_ptr<ByteStream> server;
};

TEST_F(TcpControlTest, BytesGoBothWaysAndNameTheirStream) {
  connect();
  settle();
  EXPECT_EQ(read_answer(*client), IoAnswer::kNotYet);
  EXPECT_EQ(client->write(bytes_of("to server")).bytes, 9u);
  ASSERT_TRUE(eventually([&] { return names(2); }));
  EXPECT_TRUE(names(2)) << "level-triggered";
  EXPECT_EQ(read_text(*server), "to server");
  EXPECT_TRUE(ready().empty());
  EXPECT_EQ(server->write(bytes_of("to client")).bytes, 9u);
  ASSERT_TRUE(eventually([&] { return names(1); }));
  EXPECT_EQ(read_text(*client, 3), "to ");
  EXPECT_TRUE(names(1));
  EXPECT_EQ(read_text(*client), "client");
}

TEST_F(TcpControlTest, AcceptTagWhileSomebodyKnocks) {
  ASSERT_TRUE(net->listen("127.0.0.1", 0).ok());
  EXPECT_EQ(net->accept(), nullptr);
  EXPECT_TRUE(ready().empty());
  connect();
  auto second = net->connect("127.0.0.1", net->port()).take();
  second->tag = 3;
  ASSERT_TRUE(eventually([&] { return names(ControlNet::kAcceptTag); }));
  EXPECT_TRUE(names(ControlNet::kAcceptTag));
  EXPECT_NE(accept(), nullptr);
  EXPECT_FALSE(names(ControlNet::kAcceptTag));
}

TEST_F(TcpControlTest, KnocksWaitWhileNotAccepting) {
  ASSERT_TRUE(net->listen("127.0.0.1", 0).ok());
  net->set_accepting(false);
  client = net->connect("127.0.0.1", net->port()).take();
  client->tag = 1;
  settle();
  net->set_accepting(true);
  EXPECT_TRUE(names(ControlNet::kAcceptTag));
  EXPECT_NE(net->accept(), nullptr);
}

TEST_F(TcpControlTest, EndIsToldOnceEverythingWasRead) {
  connect();
  settle();
  EXPECT_EQ(client->write(bytes_of("last words")).answer, IoAnswer::kSome);
  client->end_writes();
  ASSERT_TRUE(eventually([&] { return names(2); }));
  EXPECT_EQ(read_text(*server), "last words");
  ASSERT_TRUE(eventually([&] { return read_answer(*server) == IoAnswer::kEnd; }));
  EXPECT_EQ(read_answer(*server), IoAnswer::kEnd);
  EXPECT_FALSE(names(2)) << "an ended stream would keep the engine awake";
  // The other direction still works.
  EXPECT_EQ(server->write(bytes_of("answer")).answer, IoAnswer::kSome);
  ASSERT_TRUE(eventually([&] { return names(1); }));
  EXPECT_EQ(read_text(*client), "answer");
  server->end_writes();
  ASSERT_TRUE(eventually([&] { return read_answer(*client) == IoAnswer::kEnd; }));
  EXPECT_TRUE(ready().empty()) << "both ends have closed";
  EXPECT_TRUE(server->failure().ok());
}

TEST_F(TcpControlTest, ABlockedWriteIsNamedWhenThereIsRoom) {
  connect();
  settle();
  const auto data = pattern(1 << 20, 1);
  std::size_t written = 0;
  IoResult result{IoAnswer::kSome, 0};
  while (result.answer == IoAnswer::kSome) {
    result = client->write(std::span(data).subspan(written % data.size()));
    written += result.bytes;
  }
  EXPECT_EQ(result.answer, IoAnswer::kNotYet);
  EXPECT_FALSE(client->delivered());
  // What is still on its way may make a little room: once it has come to rest nothing is named.
  server->set_reading(false);
  ASSERT_TRUE(eventually([&] {
    while (client->write(data).answer == IoAnswer::kSome) {
    }
    return ready().empty();
  }));
  server->set_reading(true);
  std::vector<std::byte> sink(1 << 20);
  bool named = false;
  ASSERT_TRUE(eventually([&] {
    const IoAnswer answer = server->read(sink).answer;
    named = named || names(1);
    return answer == IoAnswer::kNotYet && named;
  }));
  EXPECT_EQ(client->write(bytes_of("x")).answer, IoAnswer::kSome);
}

TEST_F(TcpControlTest, DeliveredOnceThePeersKernelHasIt) {
  connect();
  settle();
  EXPECT_TRUE(client->delivered());
  EXPECT_EQ(client->write(bytes_of("x")).answer, IoAnswer::kSome);
  EXPECT_TRUE(eventually([&] { return client->delivered(); }));
  client.reset();
  EXPECT_EQ(read_text(*server), "x");
}

TEST_F(TcpControlTest, BackPressureStopsNamingForReading) {
  connect();
  settle();
  server->set_reading(false);
  EXPECT_EQ(client->write(bytes_of("wait")).answer, IoAnswer::kSome);
  ASSERT_TRUE(eventually([&] { return client->delivered(); }));
  EXPECT_FALSE(names(2));
  server->set_reading(true);
  EXPECT_TRUE(names(2));
  EXPECT_EQ(read_text(*server), "wait");
}

TEST_F(TcpControlTest, RefusedConnectionFailsWithItsAddress) {
  ASSERT_TRUE(net->listen("127.0.0.1", 0).ok());
  const std::uint16_t port = net->port();
  net = TcpControlNet::create().take();
  auto made = net->connect("127.0.0.1", port);
  ASSERT_TRUE(made.ok());
  client = made.take();
  client->tag = 1;
  ASSERT_TRUE(eventually([&] { return names(1); }));
  EXPECT_EQ(read_answer(*client), IoAnswer::kFailed);
  EXPECT_EQ(client->write(bytes_of("x")).answer, IoAnswer::kFailed);
  EXPECT_EQ(client->failure().code(), StatusCode::kUnavailable);
  EXPECT_NE(client->failure().message().find("127.0.0.1:" + std::to_string(port)),
            std::string_view::npos);
  EXPECT_FALSE(names(1)) << "a failed stream would keep the engine awake";
  client.reset();
}

TEST_F(TcpControlTest, AResetIsAFailureAndNoSignal) {
  connect();
  settle();
  EXPECT_EQ(client->write(bytes_of("unread")).answer, IoAnswer::kSome);
  ASSERT_TRUE(eventually([&] { return client->delivered(); }));
  server.reset();  // With bytes that nobody read: the kernel resets the connection.
  ASSERT_TRUE(eventually([&] { return names(1); }));
  EXPECT_EQ(read_answer(*client), IoAnswer::kFailed);
  EXPECT_EQ(client->failure().code(), StatusCode::kPeerLost);
  EXPECT_EQ(client->write(bytes_of("x")).answer, IoAnswer::kFailed);
  EXPECT_TRUE(ready().empty());
}

TEST_F(TcpControlTest, LastWordsAreThereAfterAWriteHasFailed) {
  connect();
  settle();
  EXPECT_EQ(client->write(bytes_of("unread")).answer, IoAnswer::kSome);
  EXPECT_EQ(server->write(bytes_of("why")).answer, IoAnswer::kSome);
  ASSERT_TRUE(eventually([&] { return client->delivered() && server->delivered(); }));
  server.reset();  // A reset, behind what the server said.
  ASSERT_TRUE(eventually([&] {
    const IoAnswer answer = client->write(bytes_of("x")).answer;
    return answer == IoAnswer::kFailed;
  }));
  std::array<std::byte, 8> said{};
  const IoResult result = client->read(said);
  ASSERT_EQ(result.answer, IoAnswer::kSome);
  EXPECT_EQ(std::memcmp(said.data(), "why", result.bytes), 0);
  EXPECT_EQ(result.bytes, 3u);
  EXPECT_EQ(read_answer(*client), IoAnswer::kFailed);
  EXPECT_EQ(client->failure().code(), StatusCode::kPeerLost);
}

TEST_F(TcpControlTest, ConnectTakesNumbersOnly) {
  for (const char* host : {"localhost", "", "lo", "1.2.3.4.5"}) {
    EXPECT_EQ(net->connect(host, 1).status().code(), StatusCode::kInvalidArgument) << host;
  }
}

TEST_F(TcpControlTest, ListenTellsApartWhatIsWrong) {
  ASSERT_TRUE(net->listen("lo", 0).ok());
  EXPECT_NE(net->port(), 0);
  auto second = TcpControlNet::create().take();
  const Status in_use = second->listen("127.0.0.1", net->port());
  EXPECT_EQ(in_use.code(), StatusCode::kUnavailable);
  EXPECT_NE(in_use.message().find(std::to_string(net->port())), std::string_view::npos);
  EXPECT_EQ(second->listen(std::string(300, 'x'), 0).code(), StatusCode::kNotFound);
  EXPECT_EQ(second->listen("192.0.2.1", 0).code(), StatusCode::kUnavailable);
  EXPECT_TRUE(second->listen("127.0.0.1", 0).ok());
}

TEST_F(TcpControlTest, EmptyHostListensOnBothProtocols) {
  ASSERT_TRUE(net->listen("", 0).ok());
  const bool has_v6 = Fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)).valid();
  for (const char* host : {"127.0.0.1", "::1"}) {
    if (!has_v6 && std::string_view(host) == "::1") continue;
    client = net->connect(host, net->port()).take();
    server = accept();
    EXPECT_EQ(server->local_host(), host);
    EXPECT_EQ(client->local_host(), host);
    EXPECT_EQ(client->remote(), format_host_port(host, net->port()));
    EXPECT_EQ(server->remote().rfind(format_host_port(host, 1).substr(0, 4), 0), 0u)
        << server->remote();
  }
}

TEST_F(TcpControlTest, ManyStreamsAreAllNamedInTheEnd) {
  ASSERT_TRUE(net->listen("127.0.0.1", 0).ok());
  std::vector<std::unique_ptr<ByteStream>> clients;
  std::vector<std::unique_ptr<ByteStream>> servers;
  for (std::uint64_t i = 0; i < 200; ++i) {
    clients.push_back(net->connect("127.0.0.1", net->port()).take());
    clients.back()->tag = 1000;
    servers.push_back(accept());
    servers.back()->tag = i;
  }
  for (auto& one : clients) EXPECT_EQ(one->write(bytes_of("x")).answer, IoAnswer::kSome);
  std::vector<bool> named(200);
  std::size_t count = 0;
  ASSERT_TRUE(eventually([&] {
    for (const std::uint64_t tag : ready(7)) {
      if (tag == 1000 || named[tag]) continue;
      named[tag] = true;
      ++count;
      EXPECT_EQ(read_text(*servers[tag]), "x");
    }
    return count == 200;
  }));
}

TEST_F(TcpControlTest, ADestroyedStreamIsNeverNamed) {
  connect();
  settle();
  EXPECT_EQ(client->write(bytes_of("x")).answer, IoAnswer::kSome);
  ASSERT_TRUE(eventually([&] { return client->delivered(); }));
  // Another process, forked off meanwhile, would keep the socket open like this copy does.
  std::vector<Fd> copies;
  for (int fd = 3; fd < 64; ++fd) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) == 0) {
      copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 100));
    }
  }
  ASSERT_GE(copies.size(), 2u);
  server.reset();
  client.reset();
  EXPECT_TRUE(ready().empty());
}

TEST_F(TcpControlTest, SleepEndsForStreamsWatchedDescriptorsAndInterrupts) {
  connect();
  settle();
  // Each would sleep for hours if it did not work: the test's own limit would tell.
  net->interrupt();
  net->interrupt();
  EXPECT_TRUE(ready().empty());
  net->sleep(hours(5));
  std::thread([&] { net->interrupt(); }).join();
  net->sleep(hours(5));
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds(20));
    net->interrupt();
  });
  net->sleep(microseconds::max());
  later.join();

  EXPECT_EQ(client->write(bytes_of("x")).answer, IoAnswer::kSome);
  net->sleep(hours(5));
  ASSERT_TRUE(eventually([&] { return names(2); }));
  EXPECT_EQ(read_text(*server), "x");

  const EventFd event = EventFd::create().take();
  ASSERT_TRUE(net->watch(event.get()).ok());
  event.ring();
  net->sleep(hours(5));
  EXPECT_TRUE(ready().empty()) << "a watched descriptor has no tag";
  event.clear();
  EXPECT_FALSE(net->watch(-1).ok());
}

TEST_F(TcpControlTest, SleepKeepsToItsLimit) {
  connect();
  settle();
  const auto start = std::chrono::steady_clock::now();
  net->sleep(microseconds(3000));
  EXPECT_GE(std::chrono::steady_clock::now() - start, microseconds(2900));
  net->sleep(microseconds(0));
  net->sleep(microseconds(-5));
}

TEST_F(TcpControlTest, RunningOutOfDescriptorsIsAPauseAndOneLine) {
  testing::LogCatcher log;
  ASSERT_TRUE(net->listen("127.0.0.1", 0).ok());
  client = net->connect("127.0.0.1", net->port()).take();
  client->tag = 1;
  ASSERT_TRUE(eventually([&] { return names(ControlNet::kAcceptTag); }));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_EQ(net->accept(), nullptr);
  EXPECT_FALSE(names(ControlNet::kAcceptTag)) << "would spin";
  // The pause ends sleep() too, and runs into the same wall.
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(eventually([&] {
      net->sleep(hours(5));
      return names(ControlNet::kAcceptTag);
    }));
    EXPECT_EQ(net->accept(), nullptr);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(log.count("pauses"), 1u);
  ASSERT_TRUE(eventually([&] { return names(ControlNet::kAcceptTag); }));
  EXPECT_NE(net->accept(), nullptr);
}

}  // namespace
}  // namespace sluice
