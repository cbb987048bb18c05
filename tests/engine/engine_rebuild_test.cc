// Channels that die while the peer lives: made anew, and what was under way goes on.
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "tests/engine/one_sided_fixture.h"

namespace sluice {
namespace {

std::uint16_t port_of(const std::string& address) {
  return static_cast<std::uint16_t>(
      std::stoi(address.substr(address.find(':') + 1, address.rfind('/'))));
}

// A port of a connected TCP socket of this process; 0: it is none.
std::uint16_t port_of(int fd, decltype(getsockname)* name) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  const bool good = name(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
                    address.sin_family == AF_INET;
  return good ? ntohs(address.sin_port) : 0;
}

struct RebuildPair : OneSidedPair {
  static constexpr std::size_t kBytes = 4 << 20;

  explicit RebuildPair(std::uint32_t rebuilds = 3) : OneSidedPair(kBytes, options(rebuilds)) {
    control_ = {port_of(a.engine->address()), port_of(b.engine->address())};
    use_all();
    std::ranges::copy(random_bytes(kBytes, 77), remote.begin());
  }
  static Options options(std::uint32_t rebuilds) {
    Options options = loopback_options();
    options.chunk_bytes = 64 << 10;
    options.channel_rebuilds = rebuilds;
    options.log_level = "error";
    return options;
  }
  // Shuts one or all of the connections between the two that are not the control connection.
  std::size_t break_channels(std::size_t most) {
    std::size_t broken = 0;
    DIR* const directory = opendir("/proc/self/fd");
    while (const dirent* const entry = readdir(directory)) {
      const int fd = std::atoi(entry->d_name);
      const std::uint16_t here = port_of(fd, &getsockname);
      const std::uint16_t there = port_of(fd, &getpeername);
      if (broken == most || here == 0 || there == 0) continue;
      if (control_.contains(here) || control_.contains(there)) continue;
      if (shutdown(fd, SHUT_RDWR) == 0) ++broken;
    }
    closedir(directory);
    return broken;
  }
  // Channels both ways: an idle one that broke is not noticed before.
  void use_all() {
    EXPECT_TRUE(write({at_a(0, kBytes)}, {at_b(0, kBytes)}).ok());
    EXPECT_TRUE(read({at_a(0, kBytes)}, {at_b(0, kBytes)}).ok());
  }
  // The Nets have let go of all memory: that of a read at its source is nobody's to wait for.
  [[nodiscard]] bool let_go() {
    constexpr std::string_view kWindow = "window ";
    const std::string told = a.engine->report() + b.engine->report();
    for (std::size_t at = 0; (at = told.find(kWindow, at)) != std::string::npos;) {
      at += kWindow.size();
      if (told[at] != '0') return false;
    }
    return true;
  }
  [[nodiscard]] bool rebuilt() {
    return (a.engine->report() + b.engine->report()).find("channels rebuilt") != std::string::npos;
  }
  void expect_nobody_lost() const {
    for (const Host* host : {&a, &b}) {
      const PeerEvent* const lost = host->event(PeerEventKind::kLost);
      EXPECT_EQ(lost, nullptr) << lost->status.to_string();
    }
  }
  // Passes until chunks are on their way.
  void begin(TransferId id, int passes) {
    for (int pass = 0; pass < passes && !a.finished(id); ++pass) {
      a.pass();
      b.pass();
    }
  }

 private:
  std::set<std::uint16_t> control_;
};

void expect_survives(bool writes, std::size_t most) {
  // A plugin has several connections a channel, and may not look at each of them.
  if (most == 1 && loopback_options().net != "tcp") GTEST_SKIP() << "over tcp alone";
  RebuildPair pair;
  constexpr std::size_t kBytes = RebuildPair::kBytes;
  for (int round = 0; round < 2; ++round) {
    auto& from = writes ? pair.local : pair.remote;
    std::ranges::copy(random_bytes(kBytes, 40 + static_cast<std::uint32_t>(round)), from.begin());
    const std::vector<Slice> here{pair.at_a(0, kBytes)};
    const std::vector<RemoteSlice> there{pair.at_b(0, kBytes)};
    const auto id = writes ? pair.a.engine->write(pair.b_at_a, here, there, telling("here"))
                           : pair.a.engine->read(pair.b_at_a, here, there, telling("here"));
    ASSERT_TRUE(id.ok());
    pair.begin(*id, 3 + 5 * round);
    ASSERT_GT(pair.break_channels(most), 0u);
    const Status status = pair.finish(id);
    ASSERT_TRUE(status.ok()) << status.to_string() << pair.a.engine->report()
                             << pair.b.engine->report();
    EXPECT_TRUE(same_bytes(pair.local, pair.remote));
    pair.use_all();
    EXPECT_TRUE(pair.drive([&] { return pair.let_go(); }));
  }
  EXPECT_TRUE(pair.drive([&] { return pair.b.hear() == 2; }));
  pair.expect_nobody_lost();
  EXPECT_TRUE(pair.rebuilt());
}

TEST(EngineRebuild, AWriteSurvivesOneChannel) { expect_survives(true, 1); }
TEST(EngineRebuild, AWriteSurvivesAllChannels) { expect_survives(true, 1000); }
TEST(EngineRebuild, AReadSurvivesOneChannel) { expect_survives(false, 1); }
TEST(EngineRebuild, AReadSurvivesAllChannels) { expect_survives(false, 1000); }

// A send that is not complete is sent again; one that is cannot be, and then both ends hear of it.
// Not over TCPX, where a receive that waits for the rest of its data alone then waits for ever:
// there the sender must have something left to post.
TEST(EngineRebuild, ASendSurvivesOrBothEndsHear) {
  constexpr std::size_t kBytes = RebuildPair::kBytes;
  const bool tcpx = loopback_options().net.ends_with("/libnccl-net-standin.so");
  for (int passes = 2; passes < (tcpx ? 3 : 12); passes += 3) {
    RebuildPair pair;
    const auto recv = pair.b.engine->recv(pair.a_at_b, {pair.remote_region, 0, kBytes});
    const auto send = pair.a.engine->send(pair.b_at_a, {pair.local_region, 0, kBytes});
    ASSERT_TRUE(recv.ok() && send.ok());
    pair.begin(*send, passes);
    pair.break_channels(1000);
    ASSERT_TRUE(pair.Pair::finish(*send, *recv))
        << pair.a.engine->report() << pair.b.engine->report();
    const Status& received = pair.b.done[*recv].status;
    if (received.ok()) {
      EXPECT_TRUE(pair.a.done[*send].status.ok());
      EXPECT_TRUE(same_bytes(pair.local, pair.remote));
      continue;
    }
    EXPECT_TRUE(pair.a.done[*send].status.ok()) << received.to_string();
    EXPECT_EQ(received.code(), StatusCode::kPeerLost) << received.to_string();
    EXPECT_TRUE(pair.drive([&] { return pair.a.event(PeerEventKind::kLost) != nullptr; }));
  }
}

TEST(EngineRebuild, WhatIsCancelledMeanwhileEndsAndTheNextTransferWorks) {
  constexpr std::size_t kBytes = RebuildPair::kBytes;
  for (const bool writes : {true, false}) {
    RebuildPair pair;
    const std::vector<Slice> here{pair.at_a(0, kBytes)};
    const std::vector<RemoteSlice> there{pair.at_b(0, kBytes)};
    const auto id = writes ? pair.a.engine->write(pair.b_at_a, here, there)
                           : pair.a.engine->read(pair.b_at_a, here, there);
    ASSERT_TRUE(id.ok());
    pair.begin(*id, 4);
    ASSERT_GT(pair.break_channels(1000), 0u);
    (void)pair.a.engine->cancel(*id);
    const Status status = pair.finish(id);
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kCancelled) << status.to_string();
    std::ranges::copy(random_bytes(kBytes, 90), pair.local.begin());
    const Status next = pair.write(here, there);
    EXPECT_TRUE(next.ok()) << next.to_string();
    EXPECT_TRUE(same_bytes(pair.local, pair.remote));
    pair.expect_nobody_lost();
  }
}

TEST(EngineRebuild, NoMoreOftenThanIsAllowed) {
  constexpr std::size_t kBytes = RebuildPair::kBytes;
  for (const std::uint32_t rebuilds : {0u, 1u}) {
    RebuildPair pair(rebuilds);
    for (std::uint32_t i = 0; i < rebuilds; ++i) {
      ASSERT_GT(pair.break_channels(1000), 0u);
      pair.use_all();
    }
    EXPECT_EQ(pair.rebuilt(), rebuilds > 0);
    ASSERT_GT(pair.break_channels(1000), 0u);
    const Status status = pair.write({pair.at_a(0, kBytes)}, {pair.at_b(0, kBytes)});
    EXPECT_EQ(status.code(), StatusCode::kPeerLost) << status.to_string();
    EXPECT_TRUE(pair.drive([&] {
      return pair.a.event(PeerEventKind::kLost) != nullptr &&
             pair.b.event(PeerEventKind::kLost) != nullptr;
    }));
  }
}

}  // namespace
}  // namespace sluice
