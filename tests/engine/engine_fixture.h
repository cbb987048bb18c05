// Engines in one process over loopback TCP, driven by the test's own thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sluice/engine.h"
#include "tests/support/bytes.h"

namespace sluice {

// Long enough for a sanitizer on a busy machine; only a hang reaches it.
inline constexpr std::chrono::seconds kPatience{60};

// Over the Net that SLUICE_NET names, tcp otherwise.
inline Options loopback_options() {
  auto given = options_from_environment();
  EXPECT_TRUE(given.ok()) << given.status().to_string();
  Options options = given.ok() ? given.take() : Options();
  options.listen_host = "127.0.0.1";
  options.channels = 2;
  options.spin_us = 0;
  // Both ends are driven by one thread: a machine that stalls must not look like a silent peer.
  options.peer_timeout_ms = 60'000;
  return options;
}

// An engine and what it has handed out so far.
struct Host {
  explicit Host(const Options& options = loopback_options()) {
    auto created = Engine::create(options);
    EXPECT_TRUE(created.ok()) << created.status().to_string();
    if (created.ok()) engine = created.take();
  }

  explicit Host(std::unique_ptr<Engine> made) : engine(std::move(made)) {}

  void pass() {
    engine->progress();
    std::array<Completion, 16> completions;
    for (std::size_t n; (n = engine->poll(completions)) > 0;) {
      for (std::size_t i = 0; i < n; ++i) {
        const auto [at, first] = done.emplace(completions[i].id, completions[i]);
        EXPECT_TRUE(first) << "completed twice";
      }
    }
    std::array<PeerEvent, 16> happened;
    for (std::size_t n; (n = engine->poll_peers(happened)) > 0;) {
      events.insert(events.end(), happened.begin(), happened.begin() + static_cast<long>(n));
    }
  }
  // Notifications are left with the engine until this is called.
  std::size_t hear() {
    std::array<Notification, 16> told;
    for (std::size_t n; (n = engine->poll_notifications(told)) > 0;) {
      for (std::size_t i = 0; i < n; ++i) heard.push_back(told[i].bytes);
    }
    return heard.size();
  }
  [[nodiscard]] bool finished(TransferId id) const { return done.contains(id); }
  // The first peer that connected, or was lost.
  [[nodiscard]] const PeerEvent* event(PeerEventKind kind) const {
    for (const PeerEvent& e : events) {
      if (e.kind == kind) return &e;
    }
    return nullptr;
  }
  RegionId add(std::vector<std::byte>& memory, Memory kind = Memory::kHost) {
    auto region = engine->register_memory(memory.data(), memory.size(), kind);
    EXPECT_TRUE(region.ok()) << region.status().to_string();
    return *region;
  }

  std::unique_ptr<Engine> engine;
  std::map<TransferId, Completion> done;
  std::vector<PeerEvent> events;
  std::vector<std::string> heard;
};

// Makes passes over all hosts until `condition`; false when kPatience is over.
inline bool drive(const std::vector<Host*>& hosts, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    for (Host* host : hosts) host->pass();
  }
  return true;
}

// Two engines that know each other.
struct Pair {
  explicit Pair(const Options& a_options = loopback_options(),
                const Options& b_options = loopback_options())
      : a(a_options), b(b_options) {
    meet();
  }
  Pair(std::unique_ptr<Engine> a_engine, std::unique_ptr<Engine> b_engine)
      : a(std::move(a_engine)), b(std::move(b_engine)) {
    meet();
  }
  void meet() {
    auto peer = a.engine->connect(b.engine->address());
    EXPECT_TRUE(peer.ok()) << peer.status().to_string();
    b_at_a = *peer;
    EXPECT_TRUE(drive([&] {
      return a.event(PeerEventKind::kConnected) != nullptr &&
             b.event(PeerEventKind::kConnected) != nullptr;
    }));
    a_at_b = b.event(PeerEventKind::kConnected)->peer;
  }
  bool drive(const std::function<bool()>& condition) { return sluice::drive({&a, &b}, condition); }
  void pass(int times) {
    for (int i = 0; i < times; ++i) a.pass(), b.pass();
  }
  bool finish(TransferId at_a, TransferId at_b) {
    return drive([&] { return a.finished(at_a) && b.finished(at_b); });
  }

  Host a;
  Host b;
  PeerId b_at_a{};
  PeerId a_at_b{};
};

}  // namespace sluice
