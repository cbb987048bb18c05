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
  EXPECT_EQ(from, into);
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

}  // namespace
}  // namespace sluice
