// Who else may knock at an engine's door: garbage, silence, floods. Each costs one log line and a
// closed connection, and a peer that is already there does not notice.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "src/base/bytes.h"
#include "src/base/fd.h"
#include "src/engine/wire.h"
#include "tests/engine/engine_fixture.h"

namespace sluice {
namespace {

Options server_options() {
  Options options = loopback_options();
  options.handshake_timeout_ms = 300;
  options.max_handshakes = 8;
  return options;
}

class EngineStrangersTest : public ::testing::Test {
 protected:
  EngineStrangersTest() : pair_(server_options(), server_options()) {
    const std::string address = pair_.b.engine->address();
    port_ = static_cast<std::uint16_t>(
        std::stoi(address.substr(address.find(':') + 1, address.rfind('/'))));
  }

  Fd knock() const {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    return fd;
  }
  static void say(const Fd& fd, std::span<const std::byte> bytes) {
    EXPECT_GE(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
  }
  // True once the engine has closed the connection; drives both engines meanwhile.
  bool closed(const Fd& fd) {
    return pair_.drive([&] {
      std::byte ignored[4096];
      const ssize_t n = recv(fd.get(), ignored, sizeof(ignored), MSG_DONTWAIT);
      return n == 0 || (n < 0 && errno != EAGAIN);
    });
  }
  void expect_peers_unharmed() {
    std::vector<std::byte> from = random_bytes(2 << 20, 21);
    std::vector<std::byte> into(from.size());
    const auto recv = pair_.b.engine->recv(pair_.a_at_b, {pair_.b.add(into), 0, into.size()});
    const auto send = pair_.a.engine->send(pair_.b_at_a, {pair_.a.add(from), 0, from.size()});
    ASSERT_TRUE(recv.ok() && send.ok());
    ASSERT_TRUE(pair_.finish(*send, *recv));
    EXPECT_TRUE(pair_.b.done[*recv].status.ok());
    EXPECT_TRUE(same_bytes(from, into));
    EXPECT_EQ(pair_.b.events.size(), 1u);
  }

  Pair pair_;
  std::uint16_t port_ = 0;
};

std::vector<std::byte> frame(std::uint32_t length, std::uint8_t type,
                             std::span<const std::byte> body) {
  std::vector<std::byte> bytes(8 + body.size());
  ByteWriter writer(bytes);
  writer.u32(length);
  writer.u8(type);
  std::copy(body.begin(), body.end(), bytes.begin() + 8);
  return bytes;
}

TEST_F(EngineStrangersTest, RandomBytes) {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    const Fd fd = knock();
    say(fd, random_bytes(1 + seed * 97, seed));
    EXPECT_TRUE(closed(fd)) << seed;
  }
  expect_peers_unharmed();
}

TEST_F(EngineStrangersTest, AnotherProtocol) {
  const Fd fd = knock();
  const std::string_view request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  say(fd, std::as_bytes(std::span(request)));
  EXPECT_TRUE(closed(fd));
  expect_peers_unharmed();
}

TEST_F(EngineStrangersTest, HugeLengthsAndWrongTypes) {
  for (const auto& bytes :
       {frame(0xffffffff, 1, {}), frame(64 << 20, 1, {}), frame(0, 1, {}), frame(0, 16, {}),
        frame(0, 0, {}), frame(0, 200, {}), frame(0, 23, {}), frame(0, 4, {})}) {
    const Fd fd = knock();
    say(fd, bytes);
    EXPECT_TRUE(closed(fd));
  }
  expect_peers_unharmed();
}

TEST_F(EngineStrangersTest, AVersionThatNobodySpeaks) {
  std::vector<std::byte> body(64);
  ByteWriter writer(body);
  writer.u64(wire::kMagic);
  writer.u16(900);
  writer.u16(901);
  writer.bytes(std::vector<std::byte>(wire::kNonceBytes));
  body.resize(writer.written());
  const Fd fd = knock();
  say(fd, frame(static_cast<std::uint32_t>(body.size()), 1, body));
  EXPECT_TRUE(closed(fd));
  expect_peers_unharmed();
}

TEST_F(EngineStrangersTest, SilenceIsClosedAfterItsTime) {
  const Fd silent = knock();
  const Fd half = knock();
  say(half, std::vector<std::byte>(3));
  EXPECT_TRUE(closed(silent));
  EXPECT_TRUE(closed(half));
  expect_peers_unharmed();
}

TEST_F(EngineStrangersTest, ScannersThatHangUpAtOnce) {
  for (int i = 0; i < 100; ++i) {
    knock();
    pair_.a.pass();
    pair_.b.pass();
  }
  expect_peers_unharmed();
}

TEST_F(EngineStrangersTest, AFloodPushesOutTheOldestAndLetsPeersIn) {
  std::vector<Fd> flood;
  for (int i = 0; i < 50; ++i) {
    flood.push_back(knock());
    pair_.b.pass();
  }
  Host late;
  ASSERT_TRUE(late.engine->connect(pair_.b.engine->address()).ok());
  ASSERT_TRUE(drive({&pair_.a, &pair_.b, &late}, [&] { return !late.events.empty(); }));
  EXPECT_EQ(late.events[0].kind, PeerEventKind::kConnected) << late.events[0].status.to_string();
}

TEST_F(EngineStrangersTest, StrangersAtTheDataPort) {
  // The data port is in no address; it is one of the other ports this process listens on.
  std::vector<std::byte> memory(1 << 20);
  expect_peers_unharmed();  // Makes the channels.
  std::vector<std::uint16_t> ports;
  for (int fd = 3; fd < 256; ++fd) {
    int listening = 0;
    socklen_t length = sizeof(listening);
    sockaddr_in at{};
    socklen_t at_length = sizeof(at);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&at), &at_length) == 0) {
      ports.push_back(ntohs(at.sin_port));
    }
  }
  EXPECT_GE(ports.size(), 3u);  // Control of two engines, data of the one that receives.
  std::vector<Fd> strangers;
  for (const std::uint16_t port : ports) {
    port_ = port;
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
      strangers.push_back(knock());
      say(strangers.back(), random_bytes(seed * 11, seed));
    }
  }
  Host late;
  ASSERT_TRUE(late.engine->connect(pair_.b.engine->address()).ok());
  ASSERT_TRUE(drive({&pair_.a, &pair_.b, &late}, [&] { return pair_.b.events.size() == 2; }));
  std::vector<std::byte> from = random_bytes(1 << 20, 31);
  const auto send = late.engine->send(late.events[0].peer, {late.add(from), 0, from.size()});
  const auto recv =
      pair_.b.engine->recv(pair_.b.events[1].peer, {pair_.b.add(memory), 0, memory.size()});
  ASSERT_TRUE(drive({&pair_.a, &pair_.b, &late},
                    [&] { return late.finished(*send) && pair_.b.finished(*recv); }));
  EXPECT_TRUE(same_bytes(from, memory));
}

}  // namespace
}  // namespace sluice
