// One run of writes or reads, at the client: the server only exports its memory and makes passes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/perf/beside.h"
#include "tools/perf/hub.h"
#include "tools/perf/link.h"
#include "tools/perf/messages.h"
#include "tools/perf/plan.h"
#include "tools/perf/room.h"

namespace sluice::perf {

// Bytes as text of two digits each, and back; "" where it is no such text.
[[nodiscard]] std::string to_hex(std::string_view bytes);
[[nodiscard]] std::string from_hex(std::string_view text);

class OneSidedRun {
 public:
  // Everything must outlive this; the room fits the run, and `run.depth` operations.
  OneSidedRun(Hub& hub, Link& link, const Room& room, const Run& run, const Blocks& blocks);
  ~OneSidedRun();
  OneSidedRun(const OneSidedRun&) = delete;
  OneSidedRun& operator=(const OneSidedRun&) = delete;

  // `exported`: what the server's Ready says. Fills what is to be checked.
  Status prepare(const std::string& exported);
  // Every operation, `depth` at a time; one at a time where latency is measured.
  Status go();
  // Waits for the end of what went on beside, when it has been measured.
  Status wind_up();
  // What prepare() filled, at the other end of the way that it took.
  Status check();

  [[nodiscard]] std::uint64_t bytes_beside() const { return beside_.bytes_moved(); }
  [[nodiscard]] std::uint64_t checked() const { return checked_; }
  [[nodiscard]] const std::string& difference() const { return difference_; }
  // Microseconds of each operation, from asking to completion, and of asking alone. Of the first
  // Exchange::kMostSamples.
  [[nodiscard]] std::vector<double>& samples() { return samples_; }
  [[nodiscard]] std::vector<double>& post_samples() { return post_samples_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct InFlight {
    TransferId id;
    Clock::time_point asked;
  };

  void on_completion(const Completion& completion);
  Status post();
  // Whether writing: one block from here to there, or back, until it is complete.
  Status move_all(bool writes);
  Status until_idle(std::size_t most_in_flight);
  Status pass();
  template <typename Handle>
  Status for_each_block(const std::vector<std::uint64_t>& places, Handle&& handle);

  Hub& hub_;
  Link& link_;
  const Region& region_;
  const Run& run_;
  const Blocks blocks_;
  const bool writes_;
  const std::vector<std::uint64_t> here_;  // Places of the blocks.
  const std::vector<std::uint64_t> there_;
  const std::uint64_t first_;  // Of the measured ones' slots.
  const std::uint64_t stride_;
  const std::uint64_t slots_;
  const std::size_t depth_;
  RemoteRegionId remote_{};
  bool imported_ = false;
  std::vector<Slice> local_slices_;
  std::vector<RemoteSlice> remote_slices_;
  TransferOptions asked_;
  std::vector<InFlight> in_flight_;
  Beside beside_;
  std::uint64_t posted_ = 0;
  std::vector<std::byte> scratch_;  // A block.
  std::vector<double> samples_;
  std::vector<double> post_samples_;
  std::uint64_t checked_ = 0;
  std::string difference_;
  Status status_;
};

}  // namespace sluice::perf
