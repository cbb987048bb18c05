// Many peers, many connects: nothing leaks, and an idle peer costs what docs/architecture.md says.
#include <dirent.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>

#include "tests/engine/engine_fixture.h"
#include "tests/support/sanitized.h"

namespace sluice {
namespace {

std::size_t entries_of(const char* directory) {
  DIR* dir = opendir(directory);
  std::size_t count = 0;
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count;
}
std::size_t open_fds() { return entries_of("/proc/self/fd"); }
std::size_t threads() { return entries_of("/proc/self/task"); }

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

TEST(EngineMany, TwoHundredPeersInOneProcess) {
  constexpr std::size_t kPeers = 200;
  constexpr std::size_t kBytes = 40'000;  // Over small_bytes: every peer makes a channel.
  Options options = loopback_options();
  options.channels = 1;
  Host server(options);
  std::vector<std::unique_ptr<Host>> clients;
  std::vector<Host*> all{&server};
  for (std::size_t i = 0; i < kPeers; ++i) {
    clients.push_back(std::make_unique<Host>(options));
    all.push_back(clients.back().get());
    ASSERT_TRUE(clients.back()->engine->connect(server.engine->address()).ok());
    ASSERT_TRUE(
        drive({&server, clients.back().get()}, [&] { return server.events.size() == i + 1; }));
  }
  std::vector<std::byte> into(kPeers * kBytes);
  const RegionId region = server.add(into);
  std::vector<std::vector<std::byte>> from;
  for (std::size_t i = 0; i < kPeers; ++i) {
    from.push_back(random_bytes(kBytes, static_cast<std::uint32_t>(i)));
    Host& client = *clients[i];
    ASSERT_TRUE(server.engine->recv(server.events[i].peer, {region, i * kBytes, kBytes}).ok());
    ASSERT_TRUE(drive({&client, &server}, [&] { return !client.events.empty(); }));
    ASSERT_TRUE(client.engine->send(client.events[0].peer, {client.add(from[i]), 0, kBytes}).ok());
  }
  ASSERT_TRUE(drive(all, [&] { return server.done.size() == kPeers; }));
  for (const auto& [id, completion] : server.done) {
    EXPECT_TRUE(completion.status.ok()) << completion.status.to_string();
  }
  for (std::size_t i = 0; i < kPeers; ++i) {
    EXPECT_TRUE(
        std::equal(from[i].begin(), from[i].end(), into.begin() + static_cast<long>(i * kBytes)))
        << i;
  }
}

TEST(EngineMany, AThousandConnectsLeaveNothing) {
  Options options = loopback_options();
  options.channels = 1;
  Host server(options);
  std::vector<std::byte> into(40'000);
  const RegionId region = server.add(into);
  std::vector<std::byte> from(into.size());
  std::size_t fds = 0;
  std::size_t thread_count = 0;
  std::size_t memory = 0;
  for (std::size_t round = 0; round < 1000; ++round) {
    if (round == 100) {  // Warm: allocators and tables have their size.
      fds = open_fds();
      thread_count = threads();
      memory = resident_bytes();
    }
    Host client(options);
    ASSERT_TRUE(client.engine->connect(server.engine->address()).ok());
    server.events.clear();
    server.done.clear();
    ASSERT_TRUE(drive({&server, &client}, [&] { return server.events.size() == 1; }));
    if (round % 4 == 0) {  // With channels, their threads and their sockets.
      const auto recv = server.engine->recv(server.events[0].peer, {region, 0, into.size()});
      ASSERT_TRUE(drive({&server, &client}, [&] { return !client.events.empty(); }));
      ASSERT_TRUE(client.engine
                      ->send(client.events[0].peer,
                             {client.add(from), 0, round % 8 == 0 ? from.size() : 10})
                      .ok());
      if (round % 8 == 0) {
        ASSERT_TRUE(drive({&server, &client}, [&] { return server.finished(*recv); }));
      }
    }
    client.engine.reset();
    ASSERT_TRUE(drive({&server}, [&] { return server.event(PeerEventKind::kLost) != nullptr; }));
  }
  for (int i = 0; i < 100; ++i) server.pass();
  EXPECT_LE(open_fds(), fds);
  EXPECT_LE(threads(), thread_count);
  if (!kSanitized) {
    EXPECT_LT(resident_bytes(), memory + (8 << 20));
  }
}

TEST(EngineMany, AnIdlePeerCostsAtMost64KiBAtEachEnd) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's own memory is in the way";
  constexpr std::size_t kPeers = 100;
  Options options = loopback_options();
  options.max_peers = 2 * kPeers;
  Host server(options);
  Host client(options);
  auto connect = [&](std::size_t count) {
    const std::size_t before = server.events.size();
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(client.engine->connect(server.engine->address()).ok());
    }
    ASSERT_TRUE(drive({&server, &client}, [&] {
      return server.events.size() == before + count && client.events.size() == before + count;
    }));
  };
  connect(20);
  malloc_trim(0);
  const std::size_t before = resident_bytes();
  connect(kPeers);
  const std::size_t after = resident_bytes();
  const std::size_t each = after > before ? (after - before) / (2 * kPeers) : 0;
  RecordProperty("idle_peer_bytes", static_cast<int>(each));
  std::printf("an idle peer costs %zu bytes at each end\n", each);
  EXPECT_LE(each, 64u << 10);
}

}  // namespace
}  // namespace sluice
