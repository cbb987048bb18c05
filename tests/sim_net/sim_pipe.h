// A simulated control connection: both ends with what their kernels hold, and what is between them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/net/control.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

// Bytes that wait. Keeps its memory.
class ByteQueue {
 public:
  [[nodiscard]] std::size_t size() const { return bytes_.size() - head_; }
  void push(std::span<const std::byte> bytes);
  // Takes as many as there are and `into` holds.
  std::size_t pop(std::span<std::byte> into);
  // The first `count` go to the end of `other`.
  void move_to(ByteQueue& other, std::size_t count);
  void clear();

 private:
  std::vector<std::byte> bytes_;
  std::size_t head_ = 0;
};

// Held by the streams of both ends, and by the listener until it is accepted.
class SimPipe final : public SimActor, public std::enable_shared_from_this<SimPipe> {
 public:
  enum Side : std::uint8_t { kConnecting, kAccepting };

  SimPipe(SimWorld& world, SimHost from, std::uint16_t from_port, SimHost to, std::uint16_t port);

  void step() override;

  IoResult read(Side side, std::span<std::byte> into);
  IoResult write(Side side, std::span<const std::byte> from);
  void end_writes(Side side);
  [[nodiscard]] bool delivered(Side side) const { return ends_[other(side)].flying.size() == 0; }
  void close(Side side);

  // Level-triggered for reading and for a failure; once for each other reason, until told().
  [[nodiscard]] bool worth_asking(Side side) const;
  void told(Side side);

  void set_reading(Side side, bool on) { ends_[side].reading = on; }
  [[nodiscard]] const Status& failure(Side side) const { return ends_[side].failure; }
  [[nodiscard]] SimHost host(Side side) const { return ends_[side].host; }
  [[nodiscard]] std::string name_of(Side side) const;  // "10.0.0.2:41234"
  static Side other(Side side) { return side == kConnecting ? kAccepting : kConnecting; }

 private:
  struct Burst {
    std::size_t bytes;
    Nanoseconds due;
  };
  // One end, with what is on its way to it.
  struct End {
    SimHost host{};
    std::uint16_t port = 0;
    bool open = true;
    bool reading = true;
    bool connected = false;
    bool tell_connected = false;
    bool wants_write = false;   // It was refused, and is to be told when there is room.
    bool ended = false;         // It writes no more.
    bool end_came = false;      // Everything that the other end wrote has come.
    ByteQueue flying;           // Towards this end.
    std::vector<Burst> bursts;  // What flying consists of, from next_burst on.
    std::size_t next_burst = 0;
    Nanoseconds last_due = 0;  // Of the bursts and the end of writes.
    ByteQueue arrived;
    Nanoseconds reset_at = INT64_MAX;  // When it learns that the other end has gone.
    Status failure;
  };
  [[nodiscard]] std::size_t room_towards(const End& end) const;
  [[nodiscard]] bool passes() const { return world_.passes(ends_[0].host, ends_[1].host); }
  std::size_t shorten(std::size_t bytes);
  Nanoseconds next_due(End& end);
  void try_to_connect();
  void move_bytes(Side to);
  void reset_soon(Side side);

  std::array<End, 2> ends_;
  Nanoseconds connect_at_;
};

// Connections that came in at a port and are not accepted yet.
class SimBacklog final : public SimActor {
 public:
  explicit SimBacklog(SimWorld& world) : SimActor(world) {}
  ~SimBacklog() override;

  void step() override {}
  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  void push(std::shared_ptr<SimPipe> pipe) { waiting_.push_back(std::move(pipe)); }
  std::shared_ptr<SimPipe> pop();  // The oldest; nullptr if there is none.

 private:
  std::vector<std::shared_ptr<SimPipe>> waiting_;
};

}  // namespace sluice::sim
