// One run of writes or reads, at the client: the server only exports its memory and makes passes.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
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
  // Everything must outlive this; the room fits the run. `slots_there`: of the server's room, which
  // may have fewer than this end's; 0: it does not say.
  OneSidedRun(Hub& hub, Link& link, const Room& room, const Run& run, const Blocks& blocks,
              std::uint64_t slots_there);
  ~OneSidedRun();
  OneSidedRun(const OneSidedRun&) = delete;
  OneSidedRun& operator=(const OneSidedRun&) = delete;

  // `exported`: what the server's Ready says.
  Status prepare(const std::string& exported);
  // Every operation, `depth` at a time; one at a time where latency is measured. Those that are to
  // be checked are filled before and compared after, a batch at a time.
  Status go();
  // Waits for the end of what went on beside, when it has been measured.
  Status wind_up();

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
  Status post_until(std::uint64_t end);
  // The content of the operations from `from` up to `end`, which share no slot.
  Status fill(std::uint64_t from, std::uint64_t end);
  Status check(std::uint64_t from, std::uint64_t end);
  Status fill_one(std::uint64_t operation);
  Status clear_one(std::uint64_t operation);
  Status check_one(std::uint64_t operation);
  // Their slots, gaps included, in one piece each, from here to there or back.
  Status move(std::uint64_t from, std::uint64_t end, bool writes);
  Status until_idle(std::size_t most_in_flight);
  Status pass(std::chrono::microseconds limit);
  // For work that makes no passes: the peer is to hear from us.
  Status pass_if_due();
  [[nodiscard]] std::uint64_t base_of(std::uint64_t operation) const {
    return first_ + operation % slots_ * stride_;
  }
  // An operation's slot as the host sees it: the memory itself, or image_, which store() brings
  // there and load() from there.
  [[nodiscard]] std::span<std::byte> image_of(std::uint64_t operation);
  Status store(std::uint64_t operation);
  Status load(std::uint64_t operation);
  // Calls handle(piece, block, place of the piece in the block) for all bytes of the blocks.
  template <typename Handle>
  Status for_each_piece(std::span<std::byte> image, const std::vector<std::uint64_t>& places,
                        Handle&& handle);

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
  bool measuring_ = false;        // What completes is what is measured.
  Clock::time_point passed_at_;   // When the last pass was.
  std::vector<std::byte> image_;  // A slot; empty for host memory.
  std::vector<double> samples_;
  std::vector<double> post_samples_;
  std::uint64_t checked_ = 0;
  std::string difference_;
  Status status_;
};

}  // namespace sluice::perf
