#include "sluice/progress_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/engine/engine_fixture.h"

namespace sluice {
namespace {

std::unique_ptr<ProgressThread> start() {
  Options options = loopback_options();
  options.spin_us = 20;
  auto thread = ProgressThread::start(Engine::create(options).take());
  EXPECT_TRUE(thread.ok());
  return thread.take();
}

PeerId connected(ProgressThread& thread) {
  std::array<PeerEvent, 1> event;
  EXPECT_EQ(thread.poll_peers(event, kPatience), 1u);
  EXPECT_EQ(event[0].kind, PeerEventKind::kConnected);
  return event[0].peer;
}

TEST(ProgressThread, RefusesNothing) {
  EXPECT_EQ(ProgressThread::start(nullptr).status().code(), StatusCode::kInvalidArgument);
}

TEST(ProgressThread, MovesMessagesWhileItsCallersSleep) {
  auto a = start();
  auto b = start();
  std::string address;
  b->run([&](Engine& engine) { address = engine.address(); });
  a->run([&](Engine& engine) { ASSERT_TRUE(engine.connect(address).ok()); });
  const PeerId to = connected(*a);
  const PeerId from_peer = connected(*b);
  std::vector<std::byte> from = random_bytes(4 << 20, 1);
  std::vector<std::byte> into(from.size());
  b->run([&](Engine& engine) {
    const auto region = engine.register_memory(into.data(), into.size(), Memory::kHost);
    ASSERT_TRUE(engine.recv(from_peer, {*region, 0, into.size()}).ok());
  });
  a->run([&](Engine& engine) {
    const auto region = engine.register_memory(from.data(), from.size(), Memory::kHost);
    ASSERT_TRUE(engine.send(to, {*region, 0, from.size()}).ok());
  });
  std::array<Completion, 4> completion;
  ASSERT_EQ(b->poll(completion, kPatience), 1u);
  EXPECT_TRUE(completion[0].status.ok());
  EXPECT_EQ(completion[0].bytes, from.size());
  ASSERT_EQ(a->poll(completion, kPatience), 1u);
  EXPECT_TRUE(same_bytes(from, into));
  EXPECT_EQ(a->poll(completion, std::chrono::microseconds(0)), 0u);
}

TEST(ProgressThread, ServesManyCallers) {
  constexpr int kCallers = 4;
  constexpr int kMessages = 200;
  auto a = start();
  auto b = start();
  std::string address;
  b->run([&](Engine& engine) { address = engine.address(); });
  a->run([&](Engine& engine) { ASSERT_TRUE(engine.connect(address).ok()); });
  const PeerId to = connected(*a);
  const PeerId from_peer = connected(*b);
  std::vector<std::byte> memory(64);
  std::vector<std::byte> sink(64);
  RegionId region{};
  RegionId sink_region{};
  a->run([&](Engine& e) { region = *e.register_memory(memory.data(), 64, Memory::kHost); });
  b->run([&](Engine& e) { sink_region = *e.register_memory(sink.data(), 64, Memory::kHost); });
  std::atomic<int> completed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&] {
      for (int k = 0; k < kMessages; ++k) {
        b->run([&](Engine& e) { EXPECT_TRUE(e.recv(from_peer, {sink_region, 0, 64}).ok()); });
        a->run([&](Engine& e) { EXPECT_TRUE(e.send(to, {region, 0, 64}).ok()); });
        std::array<Completion, 8> done;
        completed += static_cast<int>(a->poll(done, std::chrono::microseconds(10)));
        completed += static_cast<int>(b->poll(done, std::chrono::microseconds(10)));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  std::array<Completion, 8> done;
  while (completed < 2 * kCallers * kMessages) {
    const std::size_t n =
        a->poll(done, std::chrono::milliseconds(20)) + b->poll(done, std::chrono::milliseconds(20));
    completed += static_cast<int>(n);
  }
  EXPECT_EQ(completed, 2 * kCallers * kMessages);
}

TEST(ProgressThread, IsDestroyedWhileAWaiterPollsNoMore) {
  for (int i = 0; i < 20; ++i) {
    auto thread = start();
    std::array<Completion, 1> none;
    EXPECT_EQ(thread->poll(none, std::chrono::microseconds(100)), 0u);
  }
}

// Two engines on one thread, connected: b has `count` messages received from a.
void move_messages(ProgressThread& a, ProgressThread& b, int count) {
  std::string address;
  b.run([&](Engine& engine) { address = engine.address(); });
  a.run([&](Engine& engine) { ASSERT_TRUE(engine.connect(address).ok()); });
  const PeerId to = connected(a);
  const PeerId from = connected(b);
  const std::vector<std::byte> sent = random_bytes(1 << 20, 7);
  for (int i = 0; i < count; ++i) {
    std::vector<std::byte> source = sent;
    std::vector<std::byte> sink(sent.size());
    RegionId from_region{};
    RegionId into_region{};
    b.run([&](Engine& engine) {
      into_region = *engine.register_memory(sink.data(), sink.size(), Memory::kHost);
      ASSERT_TRUE(engine.recv(from, {into_region, 0, sink.size()}).ok());
    });
    a.run([&](Engine& engine) {
      from_region = *engine.register_memory(source.data(), source.size(), Memory::kHost);
      ASSERT_TRUE(engine.send(to, {from_region, 0, source.size()}).ok());
    });
    std::array<Completion, 1> completion;
    ASSERT_EQ(b.poll(completion, kPatience), 1u);
    ASSERT_TRUE(completion[0].status.ok()) << completion[0].status.to_string();
    ASSERT_EQ(a.poll(completion, kPatience), 1u);
    EXPECT_EQ(sink, sent);
    b.run([&](Engine& engine) { ASSERT_TRUE(engine.deregister(into_region).ok()); });
    a.run([&](Engine& engine) { ASSERT_TRUE(engine.deregister(from_region).ok()); });
  }
}

std::vector<std::unique_ptr<ProgressThread>> start_shared(int count, const Options& options) {
  std::vector<std::unique_ptr<Engine>> engines;
  for (int i = 0; i < count; ++i) engines.push_back(Engine::create(options).take());
  auto threads = ProgressThread::start_shared(std::move(engines));
  EXPECT_TRUE(threads.ok());
  return threads.take();
}

TEST(SharedProgressThread, RefusesNothingAndWhatIsNoListOfCores) {
  EXPECT_EQ(ProgressThread::start_shared({}).status().code(), StatusCode::kInvalidArgument);
  const auto created =
      ProgressThread::start(Engine::create(loopback_options()).take(), "all of them");
  EXPECT_EQ(created.status().code(), StatusCode::kInvalidArgument);
}

TEST(SharedProgressThread, DrivesEnginesThatTalkToEachOther) {
  for (const char* cadence : {"adapt", "spin", "yield", "sleep"}) {
    Options options = loopback_options();
    options.cadence = cadence;
    const auto threads = start_shared(3, options);
    move_messages(*threads[0], *threads[2], 10);
    move_messages(*threads[1], *threads[0], 10);
  }
}

TEST(SharedProgressThread, AnEngineThatLeavesLeavesTheOthersGoing) {
  auto threads = start_shared(4, loopback_options());
  threads[1].reset();
  move_messages(*threads[0], *threads[3], 3);
  threads[0].reset();
  std::array<PeerEvent, 1> event;
  ASSERT_EQ(threads[3]->poll_peers(event, kPatience), 1u);
  EXPECT_EQ(event[0].kind, PeerEventKind::kLost);
  move_messages(*threads[2], *threads[3], 3);
}

TEST(SharedProgressThread, SleepsUntilSomeoneKnocks) {
  const auto threads = start_shared(2, loopback_options());
  const auto wake_ups = [&] {
    EngineCounters counters;
    threads[0]->run([&](Engine& engine) { counters = engine.counters(); });
    return counters.wake_ups;
  };
  const std::uint64_t before = wake_ups();
  for (int i = 0; i < 1000 && wake_ups() < before + 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GE(wake_ups(), before + 3) << "each call finds it asleep";
}

TEST(Cadence, DecidesWhetherAnEngineSleeps) {
  for (const char* cadence : {"adapt", "spin", "yield", "sleep"}) {
    Options options = loopback_options();
    options.cadence = cadence;
    const auto engine = Engine::create(options).take();
    const std::string_view word = cadence;
    const bool sleeps = word == "adapt" || word == "sleep";
    // A machine that stalls may let the time of one wait pass before its first sleep.
    for (int i = 0; i < 1000 && (i == 0 || (sleeps && engine->counters().wake_ups == 0)); ++i) {
      engine->wait(std::chrono::milliseconds(2));
    }
    const EngineCounters counters = engine->counters();
    EXPECT_EQ(counters.wake_ups > 0, sleeps) << cadence;
    EXPECT_GT(counters.empty_passes, 0u) << cadence;
    EXPECT_GE(counters.passes, counters.empty_passes) << cadence;
    EXPECT_GT(counters.cpu_ns, 0u) << cadence;
    EXPECT_EQ(engine->arm().count() > 0, sleeps) << cadence;
    if (sleeps) engine->disarm();
  }
}

}  // namespace
}  // namespace sluice
