// Two to four engines in a simulated world that send to each other, and write and read each other's
// memory, at random, while something is done to them; and what must hold whatever happens:
//  - every accepted transfer completes exactly once, and nothing waits for ever
//  - a receive that completed well holds the bytes of its message and nothing else; so do the
//    slices of a read, and those at the target of a write, when it completes at the initiator
//  - nothing is written outside of the slices of transfers, nor into those of a completed one
//  - what a target refuses touches nothing; a region that it has deregistered is not written to
//  - a send or write that completed may be overwritten at once
//  - a notification comes once, in order, behind its data, and not of what was cancelled or refused
//  - in the end no region is in use
//  - pairs to which nothing was done do not notice what happens to others; nor does who is started
//    anew, or talks to one who was
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
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
  kRestart,     // A host is killed, and started anew under its name and address.
  kLie,         // Bits of chunks are turned over on the way; everybody wants checksums.
};
inline constexpr std::size_t kFaults = 12;

inline constexpr std::size_t kNoiseBytes = 8 << 20;
inline constexpr std::size_t kNodeBytes = 24 << 20;
inline constexpr std::size_t kGuardBytes = 32;
inline constexpr std::byte kGuard{0xa5};   // Around slices, and where nothing has been written yet.
inline constexpr std::byte kReused{0x77};  // What a sender writes over what has been sent.

// The memory of the nodes and the noise that messages are cut from: kept from seed to seed, because
// touching fresh memory costs more than all the rest.
struct EngineSimArena {
  static constexpr std::size_t kMostNodes = 4;
  EngineSimArena();

  std::vector<std::byte> noise;
  std::vector<std::vector<std::byte>> nodes;
};

inline bool holds_only(std::span<const std::byte> bytes, std::byte value) {
  return std::all_of(bytes.begin(), bytes.end(), [value](std::byte b) { return b == value; });
}

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
  // How one-sided transfers ended.
  struct Tally {
    std::uint64_t written = 0;
    std::uint64_t read = 0;
    std::uint64_t told = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t late = 0;
    std::uint64_t refused = 0;

    void operator+=(const Tally& other);
  };
  [[nodiscard]] const Tally& tally() const { return tally_; }

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
    std::size_t life = 0;      // Of the two: 1 once one of them has been started anew.
    std::uint64_t digest = 0;  // Of a receive's slice and guards, when it completed.
  };

  // What an initiator has imported from a target.
  enum class Handle : std::uint8_t {
    kGood,
    kAlso,  // The same memory as another region.
    kReadable,
    kWritable,
    kDoomed,  // The same memory as a region that is deregistered at some time.
    kForged,  // More access than was exported.
    kLonger,  // More bytes than the region has.
    kForgotten,
    kStale,  // Of an earlier start of the target.
  };
  static constexpr std::size_t kHandles = 9;
  enum class Op : std::uint8_t { kWrite, kRead, kNotify };
  struct Piece {
    std::size_t offset = 0;  // In the memory of its node.
    std::size_t length = 0;
  };
  // Slices in the order of a transfer's bytes, in a place of their own with guards around and
  // between them.
  struct Window {
    std::size_t offset = 0;
    std::size_t length = 0;
    std::vector<Piece> pieces;
  };
  struct Reach {  // A one-sided transfer, kept by its initiator.
    Op op{};
    Handle handle{};
    std::size_t initiator = 0;
    std::size_t target = 0;
    std::size_t life = 0;    // As of an Ask.
    std::size_t number = 0;  // Of the two nodes' in this life, in the order of the calls.
    TransferId id{};
    std::size_t bytes = 0;
    std::size_t source = 0;  // Where in the noise its bytes come from.
    Window here;             // At the initiator.
    Window there;
    bool repeats =
        false;  // Reads blocks of one region, as others have or will: their list is kept.
    Priority priority = Priority::kNormal;
    bool notifies = false;
    std::size_t notification_bytes = 0;  // 0 (not of an urgent one), or its number comes first.
    bool to_be_cancelled = false;
    bool cancelled = false;
    Nanoseconds deadline = 0;
    StatusCode refusal = StatusCode::kOk;  // Of the target.
    bool may_pass = false;                 // In spite of it.
    bool complete = false;
    bool forgotten = false;  // Its initiator has been killed and started anew.
    Status status;
    bool told = false;               // The notification has come.
    bool frozen = false;             // Nothing may come at the target: cancelled, or deregistered.
    std::uint64_t digest_here = 0;   // When it completed.
    std::uint64_t digest_there = 0;  // When it was frozen, or nothing was in use any more.
  };
  // What one node does with another.
  struct Pair {
    PeerId peer{};
    bool known = false;
    bool lost = false;
    std::vector<Message> messages;  // From this node to the other.
    std::size_t sends_asked = 0;
    std::size_t recvs_asked = 0;  // Of the other's messages to this node.
    std::size_t reaches_left = 0;
    std::size_t reaches_asked = 0;
    // By life and priority: behind the last notification of the other's.
    std::array<std::array<std::size_t, 2>, 2> told{};
    std::array<RemoteRegionId, kHandles> handles{};
    std::optional<Reach> repeated;  // What others read again.
  };
  struct Acquaintance {
    PeerId id;
    std::size_t node;
    std::size_t life;
  };
  struct Node {
    SimHost host{};
    std::unique_ptr<Engine> engine;
    std::string address;
    std::span<std::byte> memory;
    std::size_t used = 0;  // Bytes of it.
    Memory kind{};
    RegionId region{};
    RegionId also{};
    RegionId doomed{};
    bool doomed_gone = false;
    std::array<std::string, kHandles> exports;
    std::vector<Pair> pairs;  // By node; with itself only one-sided transfers.
    std::vector<Acquaintance> met;
    std::vector<Ask> asks;
    std::vector<Reach> reaches;
    std::size_t incomplete = 0;
    bool gone = false;  // Killed, stopped for good or closed.
  };

  std::uint64_t draw(std::uint64_t below) { return below == 0 ? 0 : random_() % below; }
  SimOptions world_options();
  Options engine_options(std::size_t index);
  void make_nodes();
  void start(Node& node);
  void export_regions(Node& node);
  void connect(std::size_t from, std::size_t to);
  void plan_messages();
  void plan_messages(std::size_t from, std::size_t to, std::size_t count, std::size_t longest);
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
  [[nodiscard]] std::uint64_t digest(const Node& node, std::size_t offset,
                                     std::size_t length) const;
  [[nodiscard]] std::uint64_t digest(const Node& node, const Ask& ask) const {
    return digest(node, ask.offset, ask.length);
  }

  // One-sided transfers.
  void plan_reaches();
  void ask_reach(std::size_t index, std::size_t peer);
  Reach draw_reach(std::size_t index, std::size_t peer);
  Handle draw_handle(std::size_t index, std::size_t peer, Op op);
  Window draw_window(Node& node, std::size_t bytes, std::size_t least);
  Result<RemoteRegionId> handle_of(std::size_t index, std::size_t peer, Handle handle);
  StatusCode refused_at_once(const Reach& reach) const;
  Result<TransferId> ask(const Reach& reach, RemoteRegionId remote, RemoteRegionId also);
  void fill(Node& node, const Window& window, std::size_t source);
  std::string notification_of(const Reach& reach) const;
  void maybe_cancel(std::size_t index);
  void maybe_deregister(std::size_t index);
  void poll_notifications(std::size_t index);
  void take_notification(std::size_t index, const Notification& notification);
  Reach* told_reach(std::size_t index, const Notification& notification);
  void complete_reach(Node& node, Reach& reach, const Completion& completion);
  void count(const Reach& reach);
  void check_status(const Reach& reach, const Completion& completion);
  void check_data(const Reach& reach, const std::string& when);
  void check_reach_at_end(Reach& reach);
  void release_regions();
  [[nodiscard]] bool holds_image(const Node& node, const Window& window, std::size_t source) const;
  [[nodiscard]] bool gaps_untouched(const Node& node, const Window& window) const;
  [[nodiscard]] bool untouched(const Node& node, const Window& window) const;
  [[nodiscard]] bool remembers(std::size_t index, std::size_t life) const;
  [[nodiscard]] bool notification_owed(const Reach& reach) const;
  [[nodiscard]] static std::string name_of(const Reach& reach);

  [[nodiscard]] bool running(std::size_t index) const;
  [[nodiscard]] bool clean() const;  // Nothing is done that may fail a transfer.
  void maybe_do_fault();
  void do_fault();
  void maybe_undo_fault();
  void restart_victim();
  [[nodiscard]] bool finished() const;
  [[nodiscard]] bool pair_finished(std::size_t index, std::size_t peer) const;
  [[nodiscard]] bool may_fail(std::size_t a, std::size_t b) const;
  [[nodiscard]] static bool differed(const Status& status);
  // Of what was asked or met in the given life of the two.
  [[nodiscard]] bool may_fail(std::size_t a, std::size_t b, std::size_t life) const {
    return life < life_of(a, b) || may_fail(a, b);
  }
  [[nodiscard]] std::size_t life_of(std::size_t a, std::size_t b) const {
    return fault_ == Fault::kRestart && fault_undone_ && (a == victim_ || b == victim_) ? 1 : 0;
  }
  void check_end();
  void check_pair(std::size_t from, std::size_t to);
  void check_rebuilds();
  [[nodiscard]] bool lost(std::size_t a, std::size_t b) const;
  void violation(const std::string& what);

  EngineSimArena& arena_;
  std::mt19937_64 random_;
  const Fault fault_;
  std::unique_ptr<SimWorld> world_;
  std::array<std::string, kHandles> stale_exports_;  // The victim's, before it was started anew.
  std::vector<std::unique_ptr<Engine>> killed_;      // Of hosts that were started anew.
  std::vector<Node> nodes_;
  const bool crowd_;                      // Very many one-sided transfers for small tables.
  const std::size_t scale_;               // What is long is so many times shorter, and chunks are.
  std::size_t message_budget_ = 6 << 20;  // Bytes.
  std::size_t reach_budget_ = 5 << 20;
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
  Tally tally_;
  std::uint64_t asked_ = 0;
  std::uint64_t turns_ = 0;
  bool releasing_ = false;  // Nothing more is asked for.
  bool closing_ = false;
  std::string violations_;
};

}  // namespace sluice::sim
