// What lies between a simulated send channel and its receive channel: the posted chunks of both
// ends and the few that are on the way. Both channels hold it; it goes with the last of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/net/net.h"
#include "tests/sim_net/sim_pool.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

class SimNet;

// Registered memory. Aborts when it is destroyed while a posted chunk uses it.
class SimMemory final : public NetMemory {
 public:
  SimMemory(SimNet& net, std::span<std::byte> range);
  ~SimMemory() override;

  [[nodiscard]] bool covers(const std::byte* from, std::uint64_t bytes) const;
  [[nodiscard]] const SimNet& net() const { return net_; }
  void use() { ++posted_; }
  void let_go() { --posted_; }

 private:
  SimNet& net_;
  std::span<std::byte> range_;
  std::uint32_t posted_ = 0;  // Chunks.
};

class SimLink final : public SimActor {
 public:
  SimLink(SimWorld& world, SimNet& sender, SimNet& receiver);

  enum Side : std::uint8_t { kSender, kReceiver };

  PostAnswer post_send(const std::byte* from, std::uint64_t bytes, SimMemory& memory);
  // Done: fills `remainder`, if it was to be taken.
  TestAnswer test_send(std::uint32_t& remainder);
  PostAnswer post_recv(std::byte* into, std::uint64_t bytes, SimMemory& memory);
  TestAnswer test_recv(Arrival& arrival);
  void consume();
  void take_remainders(Side side, bool on) { ends_[side].takes_remainders = on; }
  void abort(Side side);
  // The channel of this side is destroyed.
  void close(Side side);
  [[nodiscard]] const Status& failure(Side side) const { return ends_[side].failure; }
  [[nodiscard]] bool failed(Side side) const { return ends_[side].failed; }
  [[nodiscard]] bool used() const { return ends_[kSender].posted > 0; }

  void step() override;

 private:
  static constexpr std::uint64_t kNoChunk = UINT64_MAX;
  static constexpr Nanoseconds kNever = INT64_MAX;

  struct Posted {
    std::byte* at = nullptr;  // Only read when sent from.
    std::uint64_t bytes = 0;  // Of a send: its size. Of a receive: room.
    SimMemory* memory = nullptr;
    std::uint64_t checksum = 0;  // Sends: of the bytes when posted.
    Nanoseconds due = 0;         // Sends: taken no earlier.
    bool wants_remainder = false;
    std::uint32_t remainder = 0;      // Sends: when posted. Receives: when in place.
    std::uint64_t arrived_bytes = 0;  // Receives.
    std::vector<Fragment> fragments;  // Receives.
  };
  // Chunks by number: reported <= finished <= posted.
  struct End {
    SimNet* net = nullptr;  // Valid while open.
    SimHost host{};
    std::vector<Posted> ring;
    std::uint64_t posted = 0;
    std::uint64_t finished = 0;  // Sends: taken. Receives: arrived.
    std::uint64_t reported = 0;
    std::uint64_t done = 0;      // Reported as Done.
    std::uint64_t consumed = 0;  // Receives.
    Nanoseconds busy_until = 0;
    Nanoseconds fail_at = kNever;
    Status cause;  // What failure becomes at fail_at.
    Status failure;
    bool failed = false;
    bool open = true;
    bool aborted = false;
    bool takes_remainders = false;
    bool tested = false;   // Since the last chunk that moved, for poll_only.
    bool waiting = false;  // For a test, for poll_only.

    Posted& at(std::uint64_t chunk) { return ring[chunk % ring.size()]; }
  };
  struct OnTheWay {
    std::vector<std::byte> bytes;
    Nanoseconds due = 0;
  };

  PostAnswer post(End& end, std::byte* at, std::uint64_t bytes, SimMemory& memory);
  bool busy(End& end);
  void note_test(End& end);
  TestAnswer report(End& end, TestAnswer answer);
  void scribble(const Posted& chunk);

  void notice_death(Side side);
  void fail_now(End& end, Status status);
  void fail_soon(End& end, Status status);
  void spread_failures();
  void break_off();
  void ring(const End& end);
  bool movable(End& end);
  bool take();
  bool deliver();
  bool arrive(std::span<const std::byte> bytes);

  std::array<End, 2> ends_;
  std::vector<OnTheWay> way_;
  Nanoseconds last_due_ = 0;
  std::uint64_t fail_chunk_ = kNoChunk;
  bool broken_ = false;
  std::vector<std::byte> lie_;  // Scratch: what arrives in the place of the truth.
  bool way_lost_ = false;       // What is on the way will not arrive.
};

}  // namespace sluice::sim
