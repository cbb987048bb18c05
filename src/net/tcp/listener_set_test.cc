#include "src/net/tcp/listener_set.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <deque>
#include <memory>
#include <vector>

#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using testing::eventually;

class ListenerSetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(set.open(false, *SocketAddress::numeric("127.0.0.1", 0)).ok());
  }

  // A client that has connected, and is in the kernel's queue.
  Fd knock() const {
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = *SocketAddress::numeric("127.0.0.1", set.port());
    EXPECT_EQ(::connect(client.get(), address.get(), address.length()), 0);
    return client;
  }
  static void say(const Fd& client, std::span<const std::byte> bytes) {
    ASSERT_EQ(::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  Fd knock_with(const DataNonce& nonce) const {
    Fd client = knock();
    say(client, encode_hello({.nonce = nonce, .features = 0, .sender = 0}));
    return client;
  }
  // Whether the other end has closed the connection.
  static bool closed(const Fd& client) {
    std::byte byte{};
    const ssize_t got = ::recv(client.get(), &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
  }
  bool progress_until_closed(const Fd& client) {
    return eventually([&] {
      set.progress();
      return closed(client);
    });
  }
  bool progress_until_taken(const ListenerSet::Entry& taken) {
    return eventually([&] {
      set.progress();
      return taken.socket.valid();
    });
  }

  testing::LogCatcher log;
  WakeSet wake = WakeSet::create().take();
  ManualClock clock;
  ListenerSet set{wake, clock, from_ms(100)};
  ListenerSet::Entry entry;
};

TEST_F(ListenerSetTest, MatchesEachConnectionToItsNonce) {
  std::deque<ListenerSet::Entry> entries(20);
  for (auto& one : entries) set.add(one);
  std::vector<Fd> clients;
  for (auto one = entries.rbegin(); one != entries.rend(); ++one) {
    clients.push_back(knock_with(one->nonce));
    const std::byte mark = static_cast<std::byte>(clients.size());
    say(clients.back(), {&mark, 1});
  }
  std::byte mark{};
  for (auto one = entries.rbegin(); one != entries.rend(); ++one) {
    ASSERT_TRUE(progress_until_taken(*one));
    // What follows the hello was left for the channel.
    ASSERT_TRUE(testing::readable(one->socket.get(), 20'000));
    std::byte got{};
    ASSERT_EQ(::recv(one->socket.get(), &got, 1, 0), 1);
    mark = static_cast<std::byte>(static_cast<int>(mark) + 1);
    EXPECT_EQ(got, mark);
  }
  EXPECT_EQ(log.count("closed"), 0u);
}

TEST_F(ListenerSetTest, AHelloInPiecesIsAHello) {
  set.add(entry);
  const Fd client = knock();
  const auto hello = encode_hello({.nonce = entry.nonce, .features = 7, .sender = 0});
  for (std::size_t i = 0; i < hello.size(); ++i) {
    EXPECT_FALSE(entry.socket.valid());
    say(client, std::span(hello).subspan(i, 1));
    for (int pass = 0; pass < 3; ++pass) set.progress();
  }
  ASSERT_TRUE(progress_until_taken(entry));
  EXPECT_EQ(entry.hello.features, 7);
}

TEST_F(ListenerSetTest, StrangersAreClosedWithOneLineEachAndDisturbNobody) {
  set.add(entry);
  std::vector<std::byte> garbage(1000, std::byte{'G'});
  const Fd loud = knock();
  say(loud, garbage);
  const Fd wrong_nonce = knock_with(random_data_nonce());
  const Fd silent = knock();
  Fd gone = knock();
  gone.reset();
  Fd cut_short = knock();
  say(cut_short, std::span(garbage).first(5));
  cut_short.reset();
  ASSERT_TRUE(progress_until_closed(loud));
  ASSERT_TRUE(progress_until_closed(wrong_nonce));
  ASSERT_TRUE(eventually([&] {
    set.progress();
    return log.count("closed before its hello") == 2;
  }));
  EXPECT_EQ(log.count("not a hello"), 1u);
  EXPECT_EQ(log.count("nobody waits"), 1u);

  EXPECT_FALSE(closed(silent));
  clock.advance(from_ms(99));
  set.progress();
  EXPECT_FALSE(closed(silent));
  clock.advance(from_ms(1));
  set.progress();
  ASSERT_TRUE(eventually([&] { return closed(silent); }));
  EXPECT_EQ(log.count("no hello in time"), 1u);
  EXPECT_EQ(log.count("data connection from 127.0.0.1:"), 5u);

  EXPECT_FALSE(entry.socket.valid());
  const Fd client = knock_with(entry.nonce);
  ASSERT_TRUE(progress_until_taken(entry));
}

TEST_F(ListenerSetTest, ANonceWorksOnceAndOnlyWhileItsListenerLives) {
  ListenerSet::Entry other;
  set.add(entry);
  set.add(other);
  const Fd first = knock_with(entry.nonce);
  ASSERT_TRUE(progress_until_taken(entry));
  const Fd second = knock_with(entry.nonce);
  ASSERT_TRUE(progress_until_closed(second));
  EXPECT_FALSE(closed(first));

  ListenerSet::Entry removed;
  set.add(removed);
  set.remove(removed);
  const Fd late = knock_with(removed.nonce);
  ASSERT_TRUE(progress_until_closed(late));
  EXPECT_FALSE(removed.socket.valid());
}

TEST_F(ListenerSetTest, AFloodOfSilentClientsKeepsNobodyOut) {
  set.add(entry);
  std::vector<Fd> flood;
  for (std::size_t i = 0; i < 3 * ListenerSet::kMostStrangers; ++i) {
    flood.push_back(knock());
    set.progress();
  }
  const Fd client = knock_with(entry.nonce);
  ASSERT_TRUE(progress_until_taken(entry));
  ASSERT_TRUE(eventually([&] { return closed(flood.front()); }));
  std::size_t open = 0;
  for (const Fd& one : flood) open += !closed(one);
  EXPECT_LE(open, ListenerSet::kMostStrangers + 1);
  EXPECT_GE(log.count("too many connections"), 2 * ListenerSet::kMostStrangers - 1);
}

TEST_F(ListenerSetTest, WakesForConnectionsOnlyWhileSomebodyWaits) {
  const Fd early = knock_with(entry.nonce);
  EXPECT_FALSE(testing::readable(wake.fd(), 0));
  set.progress();  // Leaves it in the queue.
  set.add(entry);
  ASSERT_TRUE(testing::readable(wake.fd(), 20'000));
  ASSERT_TRUE(progress_until_taken(entry));
  EXPECT_FALSE(testing::readable(wake.fd(), 0));
}

TEST_F(ListenerSetTest, RunningOutOfDescriptorsIsAPause) {
  set.add(entry);
  const Fd client = knock_with(entry.nonce);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (int i = 0; i < 50; ++i) set.progress();
  EXPECT_FALSE(testing::readable(wake.fd(), 0)) << "would spin";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(log.count("pauses"), 1u);
  EXPECT_FALSE(entry.socket.valid());
  clock.advance(from_ms(100));
  ASSERT_TRUE(progress_until_taken(entry));
}

TEST(ListenerSet, ListensOnBothProtocolsOrOnOneAddress) {
  const WakeSet wake = WakeSet::create().take();
  const ManualClock clock;
  ListenerSet both(wake, clock, from_ms(100));
  EXPECT_FALSE(both.is_open());
  ASSERT_TRUE(both.open(true, {}).ok());
  EXPECT_TRUE(both.is_open());
  const auto reaches = [](const char* host, std::uint16_t port) {
    const auto address = *SocketAddress::numeric(host, port);
    const Fd client(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(client.get(), address.get(), address.length()) == 0;
  };
  EXPECT_TRUE(reaches("127.0.0.1", both.port()));
  if (Fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)).valid()) {
    EXPECT_TRUE(reaches("::1", both.port()));
  }
  ListenerSet one(wake, clock, from_ms(100));
  ASSERT_TRUE(one.open(false, *SocketAddress::numeric("127.0.0.5", 0)).ok());
  EXPECT_TRUE(reaches("127.0.0.5", one.port()));
  EXPECT_FALSE(reaches("127.0.0.1", one.port()));
  ListenerSet none(wake, clock, from_ms(100));
  const Status status = none.open(false, *SocketAddress::numeric("192.0.2.1", 0));
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("192.0.2.1"), std::string_view::npos);
}

}  // namespace
}  // namespace sluice
