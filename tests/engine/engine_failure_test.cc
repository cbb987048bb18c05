// Peers that go, wrong tokens, places where nobody listens.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "tests/engine/engine_fixture.h"

namespace sluice {
namespace {

TEST(EngineFailure, DisconnectCompletesWhatIsInFlightAtBothEnds) {
  Pair pair;
  std::vector<std::byte> a_memory(64 << 20);
  std::vector<std::byte> b_memory(64 << 20);
  const RegionId a_region = pair.a.add(a_memory);
  const RegionId b_region = pair.b.add(b_memory);
  constexpr std::uint64_t kFirst = 100'000;  // Makes the channels.
  const auto first = pair.b.engine->recv(pair.a_at_b, {b_region, 0, kFirst});
  ASSERT_TRUE(pair.finish(*pair.a.engine->send(pair.b_at_a, {a_region, 0, kFirst}), *first));
  const auto send = pair.a.engine->send(pair.b_at_a, {a_region, 0, a_memory.size()});
  const auto recv = pair.b.engine->recv(pair.a_at_b, {b_region, 0, b_memory.size()});
  const auto never_met = pair.b.engine->recv(pair.a_at_b, {b_region, 0, 10});
  pair.b.pass();
  for (int i = 0; i < 20; ++i) pair.a.pass();  // As much as sockets and windows hold.
  ASSERT_TRUE(pair.a.engine->disconnect(pair.b_at_a).ok());
  ASSERT_TRUE(pair.finish(*send, *recv));
  ASSERT_TRUE(pair.drive([&] {
    return pair.b.finished(*never_met) && pair.a.event(PeerEventKind::kLost) != nullptr &&
           pair.b.event(PeerEventKind::kLost) != nullptr;
  }));
  EXPECT_EQ(pair.a.done[*send].status.code(), StatusCode::kClosed);
  EXPECT_EQ(pair.b.done[*never_met].status.code(), StatusCode::kClosed);
  // Stale from now on.
  EXPECT_EQ(pair.a.engine->disconnect(pair.b_at_a).code(), StatusCode::kNotFound);
  EXPECT_EQ(pair.b.engine->recv(pair.a_at_b, {b_region, 0, 10}).status().code(),
            StatusCode::kNotFound);
  EXPECT_TRUE(pair.b.engine->deregister(b_region).ok());
}

// The promise of a local completion: the sender may go, the bytes still come.
TEST(EngineFailure, CompletedSendsSurviveTheirEngine) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{256} << 10, std::size_t{3} << 20}) {
    Pair pair;
    std::vector<std::byte> from = random_bytes(size, 11);
    std::vector<std::byte> into(size);
    const auto recv = pair.b.engine->recv(pair.a_at_b, {pair.b.add(into), 0, size});
    const auto send = pair.a.engine->send(pair.b_at_a, {pair.a.add(from), 0, size});
    ASSERT_TRUE(pair.drive([&] { return pair.a.finished(*send); }));
    pair.a.engine.reset();
    ASSERT_TRUE(drive({&pair.b}, [&] { return pair.b.finished(*recv); }));
    EXPECT_TRUE(pair.b.done[*recv].status.ok()) << pair.b.done[*recv].status.to_string();
    EXPECT_TRUE(same_bytes(from, into));
    ASSERT_TRUE(drive({&pair.b}, [&] { return pair.b.event(PeerEventKind::kLost) != nullptr; }));
    EXPECT_EQ(pair.b.event(PeerEventKind::kLost)->status.code(), StatusCode::kClosed);
  }
}

TEST(EngineFailure, WrongTokenIsDeniedAndOthersGoOn) {
  Options options = loopback_options();
  options.token = "right";
  Host server(options);
  Host client;
  const std::string address = server.engine->address();
  const auto port = static_cast<std::uint16_t>(
      std::stoi(address.substr(address.find(':') + 1, address.rfind('/'))));
  const auto wrong = make_address("127.0.0.1", port, "wrong");
  const auto right = make_address("127.0.0.1", port, "right");
  ASSERT_TRUE(wrong.ok() && right.ok());
  const auto denied = client.engine->connect(*wrong);
  const auto welcome = client.engine->connect(*right);
  ASSERT_TRUE(drive({&server, &client}, [&] {
    return client.event(PeerEventKind::kLost) != nullptr &&
           client.event(PeerEventKind::kConnected) != nullptr;
  }));
  EXPECT_EQ(client.event(PeerEventKind::kLost)->peer, *denied);
  EXPECT_EQ(client.event(PeerEventKind::kLost)->status.code(), StatusCode::kDenied);
  EXPECT_EQ(client.event(PeerEventKind::kConnected)->peer, *welcome);
  EXPECT_EQ(server.events.size(), 1u);
}

// A client that was told a token does not accept a server that does not know it.
TEST(EngineFailure, AServerThatAnyoneMayUseCannotPoseAsTheOneWithTheToken) {
  Options options = loopback_options();
  options.allow_anyone = 1;
  Host server(options);
  Host client;
  const std::string address = server.engine->address();
  const auto port = static_cast<std::uint16_t>(
      std::stoi(address.substr(address.find(':') + 1, address.rfind('/'))));
  ASSERT_TRUE(client.engine->connect(*make_address("127.0.0.1", port, "a token")).ok());
  ASSERT_TRUE(client.engine->connect(*make_address("127.0.0.1", port, "")).ok());
  ASSERT_TRUE(drive({&server, &client}, [&] { return client.events.size() >= 2; }));
  EXPECT_EQ(client.event(PeerEventKind::kLost)->status.code(), StatusCode::kDenied);
  EXPECT_NE(client.event(PeerEventKind::kConnected), nullptr);
}

TEST(EngineFailure, NobodyListens) {
  Host client;
  const auto peer = client.engine->connect(*make_address("127.0.0.1", 1, ""));
  ASSERT_TRUE(peer.ok());
  std::vector<std::byte> memory(10);
  const auto send = client.engine->send(*peer, {client.add(memory), 0, 10});
  ASSERT_TRUE(drive({&client}, [&] { return client.finished(*send) && !client.events.empty(); }));
  const Status& status = client.done[*send].status;
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("127.0.0.1:1"), std::string_view::npos) << status.to_string();
  EXPECT_EQ(client.events[0].kind, PeerEventKind::kLost);
}

TEST(EngineFailure, CreateSaysWhatIsWrong) {
  Options options = loopback_options();
  Host first(options);
  const std::string address = first.engine->address();
  options.listen_port = static_cast<std::uint16_t>(
      std::stoi(address.substr(address.find(':') + 1, address.rfind('/'))));
  const auto taken = Engine::create(options);
  EXPECT_EQ(taken.status().code(), StatusCode::kUnavailable) << taken.status().to_string();
  EXPECT_NE(taken.status().message().find(std::to_string(options.listen_port)),
            std::string_view::npos);
  options = loopback_options();
  options.window = 65;
  const auto window = Engine::create(options);
  EXPECT_EQ(window.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(window.status().message().find("1 to 64"), std::string_view::npos)
      << window.status().to_string();
  options = loopback_options();
  options.listen_host = "no-such-host.invalid";
  EXPECT_FALSE(Engine::create(options).ok());
  EXPECT_FALSE(make_address("no-such-host.invalid", 20000, "").ok());
  EXPECT_EQ(make_address("127.0.0.1", 0, "").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(first.engine->connect("nonsense").status().code(), StatusCode::kInvalidArgument);
}

TEST(EngineFailure, MaxPeersTurnsTheNextOneAway) {
  Options options = loopback_options();
  options.max_peers = 1;
  Host server(options);
  Host first;
  Host second;
  ASSERT_TRUE(first.engine->connect(server.engine->address()).ok());
  ASSERT_TRUE(drive({&server, &first}, [&] { return !first.events.empty(); }));
  ASSERT_TRUE(second.engine->connect(server.engine->address()).ok());
  ASSERT_TRUE(drive({&server, &first, &second},
                    [&] { return second.event(PeerEventKind::kLost) != nullptr; }));
  EXPECT_NE(second.event(PeerEventKind::kLost)->status.message().find("max_peers"),
            std::string_view::npos);
  EXPECT_EQ(server.events.size(), 1u);
  EXPECT_EQ(server.engine->connect(second.engine->address()).status().code(),
            StatusCode::kWouldBlock);
}

// A peer in a process of its own, which sends for ever until something happens to it.
class OtherProcess {
 public:
  explicit OtherProcess(const std::string& address, const Options& options) {
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto engine = Engine::create(options).take();
    const PeerId peer = *engine->connect(address);
    std::vector<std::byte> memory(8 << 20);
    const RegionId region = *engine->register_memory(memory.data(), memory.size(), Memory::kHost);
    std::array<Completion, 16> completions;
    while (true) {
      engine->progress();
      engine->poll(completions);
      if (!engine->send(peer, {region, 0, memory.size()}).ok()) {
        engine->wait(std::chrono::milliseconds(1));
      }
    }
  }
  ~OtherProcess() {
    signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  void signal(int number) const { kill(pid_, number); }

 private:
  pid_t pid_;
};

void expect_loss(int signal, const char* cause, std::uint32_t peer_timeout_ms) {
  Options options = loopback_options();
  options.peer_timeout_ms = peer_timeout_ms;
  options.token = "both know";
  options.listen_port = 0;
  Host server(options);
  Host bystander(options);
  ASSERT_TRUE(bystander.engine->connect(server.engine->address()).ok());
  ASSERT_TRUE(drive({&server, &bystander},
                    [&] { return bystander.event(PeerEventKind::kConnected) != nullptr; }));
  const PeerId bystander_at_server = server.events[0].peer;
  OtherProcess other(server.engine->address(), options);
  ASSERT_TRUE(drive({&server, &bystander}, [&] { return server.events.size() == 2; }));
  const PeerId peer = server.events[1].peer;

  // More messages than the windows hold chunks of, so that no two in flight share a place.
  constexpr std::uint64_t kBytes = 8 << 20;
  constexpr std::uint64_t kPlaces = 4;
  std::vector<std::byte> into(kPlaces * kBytes);
  const RegionId region = server.add(into);
  std::vector<TransferId> receives;
  for (std::uint64_t i = 0; i < 300; ++i) {
    receives.push_back(*server.engine->recv(peer, {region, i % kPlaces * kBytes, kBytes}));
  }
  ASSERT_TRUE(drive({&server, &bystander}, [&] { return server.finished(receives[1]); }));
  other.signal(signal);
  ASSERT_TRUE(drive({&server, &bystander}, [&] { return server.done.size() == receives.size(); }));
  const Status& status = server.done[receives.back()].status;
  EXPECT_EQ(status.code(), StatusCode::kPeerLost);
  EXPECT_NE(status.message().find(cause), std::string_view::npos) << status.to_string();
  EXPECT_NE(status.message().find("peer "), std::string_view::npos) << status.to_string();
  for (const TransferId id : receives) EXPECT_TRUE(server.finished(id));

  // The other peer did not notice.
  std::vector<std::byte> small(100);
  const auto recv = server.engine->recv(bystander_at_server, {server.add(small), 0, 100});
  std::vector<std::byte> from(100);
  const auto send = bystander.engine->send(bystander.events[0].peer, {bystander.add(from), 0, 100});
  ASSERT_TRUE(drive({&server, &bystander},
                    [&] { return server.finished(*recv) && bystander.finished(*send); }));
  EXPECT_TRUE(server.done[*recv].status.ok());
}

TEST(EngineFailure, AKilledPeerFailsItsTransfersAlone) { expect_loss(SIGKILL, "", 60'000); }

TEST(EngineFailure, AStoppedPeerIsNoticedByItsSilence) { expect_loss(SIGSTOP, "silent for", 1000); }

// Both have nothing to do for longer than the silence at which they would give each other up.
TEST(EngineFailure, PingsKeepStillPeersAndEndNoWait) {
  Options options = loopback_options();
  options.peer_timeout_ms = 3000;
  Pair pair(options, options);
  const auto wake_ups = pair.a.engine->counters().wake_ups;
  std::thread other([&] { pair.b.engine->wait(std::chrono::milliseconds(3500)); });
  const auto start = std::chrono::steady_clock::now();
  pair.a.engine->wait(std::chrono::milliseconds(3500));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(3500));
  other.join();
  const auto woken = pair.a.engine->counters().wake_ups - wake_ups;
  EXPECT_GE(woken, 3u);
  EXPECT_LE(woken, 300u) << "it does not sleep";
  pair.pass(1);
  EXPECT_EQ(pair.a.event(PeerEventKind::kLost), nullptr);
  EXPECT_EQ(pair.b.event(PeerEventKind::kLost), nullptr);

  std::vector<std::byte> from(100);
  std::vector<std::byte> into(100);
  const auto recv = pair.b.engine->recv(pair.a_at_b, {pair.b.add(into), 0, 100});
  const auto send = pair.a.engine->send(pair.b_at_a, {pair.a.add(from), 0, 100});
  ASSERT_TRUE(pair.finish(*send, *recv));
}

}  // namespace
}  // namespace sluice
