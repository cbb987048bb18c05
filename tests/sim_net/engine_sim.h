// Two to four engines in a simulated world that send to each other at random, while something is
// done to them; and what must hold whatever happens:
//  - every accepted transfer completes exactly once, and nothing waits for ever
//  - a receive that completed well holds the bytes of its message and nothing else
//  - nothing is written outside of the slices of receives, nor into one that has completed
//  - a send that completed may be overwritten at once
//  - pairs to which nothing was done do not notice what happens to others
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "sluice/engine.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

// What is done to the engines, beside delays and the like.
enum class Fault : std::uint8_t {
  kNone,
  kChannels,    // Channels fail, at random; of half the runs no more than are rebuilt.
  kRefusal,     // Channels cannot be made, at random.
  kKill,        // A host is killed.
  kStop,        // A host stops for good.
  kShortStop,   // ... and goes on before anybody gives it up.
  kCut,         // The link of two hosts is cut for good.
  kShortCut,    // ... and healed.
  kDisconnect,  // An engine disconnects a peer.
  kClose,       // An engine is destroyed as soon as its sends are complete or cannot be.
};
inline constexpr std::size_t kFaults = 10;

// The memory of the nodes and the noise that messages are cut from: kept from seed to seed, because
// touching fresh memory costs more than all the rest.
struct EngineSimArena {
  static constexpr std::size_t kMostNodes = 4;
  EngineSimArena();

  std::vector<std::byte> noise;
  std::vector<std::vector<std::byte>> nodes;
};

class EngineSim {
 public:
  EngineSim(std::uint64_t seed, EngineSimArena& arena);
  ~EngineSim();
  EngineSim(const EngineSim&) = delete;
  EngineSim& operator=(const EngineSim&) = delete;

  // Lives through it. The violations that were found, one a line; "" is good.
  [[nodiscard]] std::string run();

  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] std::uint64_t completed() const { return completed_; }
  // Channels broke, were rebuilt, and no peer was lost.
  [[nodiscard]] bool healed() const { return healed_; }

 private:
  struct Message {
    std::size_t bytes = 0;     // Of the send.
    std::size_t capacity = 0;  // Of the receive.
    std::size_t source = 0;    // Where in the noise its bytes come from.
  };
  struct Ask {  // One transfer of one end.
    std::size_t message = 0;
    std::size_t offset = 0;  // In the memory of its node.
    std::size_t length = 0;
    TransferId id{};
    bool sending = false;
    bool complete = false;
    Status status;
    std::size_t peer = 0;      // Node.
    std::uint64_t digest = 0;  // Of a receive's slice and guards, when it completed.
  };
  // What one node does with another.
  struct Pair {
    PeerId peer{};
    bool known = false;
    bool lost = false;
    std::vector<Message> messages;  // From this node to the other.
    std::size_t sends_asked = 0;
    std::size_t recvs_asked = 0;  // Of the other's messages to this node.
  };
  struct Node {
    SimHost host{};
    std::unique_ptr<Engine> engine;
    std::string address;
    std::span<std::byte> memory;
    std::size_t used = 0;  // Bytes of it.
    RegionId region{};
    std::vector<Pair> pairs;  // By node.
    std::vector<Ask> asks;
    std::size_t incomplete = 0;
    bool gone = false;  // Killed, stopped for good or closed.
  };

  std::uint64_t draw(std::uint64_t below) { return below == 0 ? 0 : random_() % below; }
  SimOptions world_options();
  Options engine_options(std::size_t index);
  void make_nodes();
  void plan_messages();
  std::size_t draw_size();
  std::size_t allocate(Node& node, std::size_t bytes);

  void turn();
  void advance_time();
  void ask_something(std::size_t index);
  void ask_the_rest();  // Of every pair the next send and the next receive.
  void ask_send(std::size_t index, std::size_t peer);
  void ask_recv(std::size_t index, std::size_t peer);
  bool drive(std::size_t index);
  void poll(std::size_t index);
  void take_completion(std::size_t index, const Completion& completion);
  void take_peer_event(std::size_t index, const PeerEvent& event);
  void check_receive(Node& node, Ask& ask, const Completion& completion);
  [[nodiscard]] std::uint64_t digest(const Node& node, const Ask& ask) const;

  [[nodiscard]] bool running(std::size_t index) const;
  [[nodiscard]] bool clean() const;  // Nothing is done that may fail a transfer.
  void maybe_do_fault();
  void do_fault();
  void maybe_undo_fault();
  void close_node(std::size_t index);
  [[nodiscard]] bool finished() const;
  [[nodiscard]] bool touched(std::size_t a, std::size_t b) const;
  [[nodiscard]] bool may_fail(std::size_t a, std::size_t b) const;
  void check_end();
  void check_pair(std::size_t from, std::size_t to);
  void check_rebuilds();
  [[nodiscard]] bool lost(std::size_t a, std::size_t b) const;
  void violation(const std::string& what);

  EngineSimArena& arena_;
  std::mt19937_64 random_;
  const Fault fault_;
  std::unique_ptr<SimWorld> world_;
  std::vector<Node> nodes_;
  std::size_t victim_ = 0;  // Nodes that the fault is done to.
  std::size_t other_ = 0;
  std::uint64_t fault_after_ = 0;  // Completions.
  bool few_failures_ = false;      // Of channels: fewer than are rebuilt.
  bool healed_ = false;
  bool fault_done_ = false;
  bool fault_undone_ = false;
  Nanoseconds undo_at_ = 0;
  Nanoseconds started_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t asked_ = 0;
  std::uint64_t turns_ = 0;
  bool closing_ = false;
  std::string violations_;
};

}  // namespace sluice::sim
