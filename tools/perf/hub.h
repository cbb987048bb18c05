// One engine with its peers: takes what the engine hands out to the Link it belongs to, and owns
// the memory that the engine may be using.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "sluice/engine.h"
#include "tools/perf/driver.h"
#include "tools/perf/memory.h"

namespace sluice::perf {

class Link;

// Registered memory.
struct Region {
  RegionId id{};
  Buffer buffer;
};

class Hub {
 public:
  // Makes the engine. `interrupted` is asked in every pass; when it says yes, passes fail with
  // kClosed. kInvalidArgument: max_transfers is too small for `sluice perf`.
  // Options name a GPU: memory of the kind kCuda is that one's.
  // With `present`, that is the engine, made with these options by someone who keeps it.
  static Result<std::unique_ptr<Hub>> create(const Options& options, Threading threading,
                                             std::function<bool()> interrupted,
                                             ProgressThread* present = nullptr);
  ~Hub();  // After every Link.
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  [[nodiscard]] Driver& driver() { return *driver_; }

  // The engine's max_transfers are shared out: a quarter for the sends of a run, one for its
  // receives, one for what waiting peers may say, and the rest for messages between runs. Otherwise
  // an end could wait for a place that only the other end can free, which waits for this one.
  [[nodiscard]] std::uint32_t share() const { return share_; }

  // Drives the engine once and delivers; waits up to `limit` when there is nothing to do. Not OK
  // only when interrupted.
  Status pass(std::chrono::microseconds limit);

  // The oldest peer that connected to us, is still there and has no Link yet.
  std::optional<PeerEvent> take_stranger();

  Result<Region> allocate(std::size_t bytes, Memory kind);
  // Frees it as soon as the engine has let go of it.
  void retire(Region region);
  [[nodiscard]] bool retiring() const { return !retired_.empty(); }

 private:
  friend class Link;
  Hub(std::unique_ptr<Gpu> gpu, std::unique_ptr<Driver> driver, std::function<bool()> interrupted,
      std::uint32_t share);
  void attach(PeerId peer, Link& link);
  void detach(PeerId peer) { links_.erase(peer); }
  void hear();
  void on_peer_event(const PeerEvent& event);
  void free_retired();
  void report();

  std::unique_ptr<Gpu> gpu_;     // Whose memory is allocated; nullptr: none.
  std::vector<Region> retired_;  // Freed after the engine is gone: declared before it.
  std::unique_ptr<Driver> driver_;
  std::function<bool()> interrupted_;
  std::uint32_t share_;
  int reported_ = 0;  // Of the reports that were asked for.
  std::deque<PeerEvent> strangers_;
  std::unordered_map<PeerId, Link*> links_;
  std::unordered_map<PeerId, std::vector<std::string>> unheard_;  // Of peers without a Link yet.
};

}  // namespace sluice::perf
