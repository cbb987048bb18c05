// One Run at one end: posts, waits, checks. Bandwidth and latency differ only in when the next
// message may be sent: as soon as there is room, or once the answer to the last one is there.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/perf/hub.h"
#include "tools/perf/lane_flow.h"
#include "tools/perf/link.h"
#include "tools/perf/messages.h"
#include "tools/perf/room.h"

namespace sluice::perf {

enum class End { kClient, kServer };

// After so long without a word or a completed message, a run is given up: a minute, and what a
// message takes on a slow path.
[[nodiscard]] std::chrono::milliseconds silence_limit(const Run& run);

class Exchange {
 public:
  // Everything must outlive this; the room fits the run.
  Exchange(Hub& hub, Link& link, const Room& room, const Run& run, End end);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Posts the receives that there is room for.
  Status prepare();
  // Moves every message. Not OK when the peer is lost, or nothing has moved for a minute.
  Status go();

  // Received messages whose content was checked, and the first that was wrong: "" if none was.
  [[nodiscard]] std::uint64_t checked() const { return checked_; }
  [[nodiscard]] const std::string& difference() const { return difference_; }
  // Of a latency run, at the client: half of each round trip in microseconds. At most
  // kMostSamples, the first ones.
  [[nodiscard]] std::vector<double>& samples() { return samples_; }
  static constexpr std::uint64_t kMostSamples = 1'000'000;

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] std::uint64_t sends_allowed() const;
  Status post(std::uint64_t sends_allowed);
  Status post_all(Engine& engine, LaneFlow& flow, bool sending, std::uint64_t allowed);
  Status fill(std::uint64_t index);
  Status check(std::uint64_t index);
  Status check_arrived();
  void on_completion(const Completion& completion);
  void on_received(std::uint64_t index, std::uint64_t bytes);
  void received(std::uint64_t index);
  // Calls handle(piece, its place in the message, in the region), piece by piece: the memory
  // itself, or scratch_ where the host does not reach that.
  template <typename Handle>
  Status for_each_piece(const Slice& slice, Handle&& handle);

  Hub& hub_;
  Link& link_;
  const Region& region_;
  const Run& run_;
  const bool ping_pong_;
  const End end_;
  LaneFlow sends_;
  LaneFlow recvs_;
  Clock::time_point started_;
  Clock::time_point sent_at_;
  Clock::time_point moved_at_;  // When something last completed.
  std::uint64_t completions_ = 0;
  std::vector<std::uint64_t> arrived_;  // Messages to be checked.
  std::vector<std::byte> scratch_;      // A piece of a message; empty for host memory.
  std::vector<double> samples_;
  std::uint64_t checked_ = 0;
  std::string difference_;
  Status status_;
};

}  // namespace sluice::perf
