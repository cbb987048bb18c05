// The messages of one direction of a run at one end: which are posted, which are through. Keeps
// them in the order of posting, as both ends count them, although transfers may complete in
// another.
#pragma once

#include <cstdint>
#include <vector>

#include "sluice/engine.h"
#include "tools/perf/plan.h"

namespace sluice::perf {

class LaneFlow {
 public:
  // `total` messages of `size` bytes in `lane`, at most `depth` of them (and no more than the lane
  // has slots) in flight.
  LaneFlow(const Lane& lane, std::uint64_t size, std::uint64_t total, std::uint32_t depth);

  [[nodiscard]] std::uint64_t posted() const { return posted_; }
  [[nodiscard]] std::uint64_t through() const { return through_; }
  [[nodiscard]] bool all_posted() const { return posted_ == total_; }
  [[nodiscard]] bool all_through() const { return through_ == total_; }
  // One more may be posted now, with at most `allowed` posted in all.
  [[nodiscard]] bool may_post(std::uint64_t allowed) const {
    return posted_ < total_ && posted_ < allowed && posted_ - through_ < ring_.size();
  }

  // Where message `index` lies.
  [[nodiscard]] Slice slice(RegionId region, std::uint64_t index) const {
    return {region, lane_.offset(index), size_};
  }

  void post(TransferId id);  // The next message was accepted.
  // The index of the message with this transfer; false if it is none of ours.
  [[nodiscard]] bool find(TransferId id, std::uint64_t& index) const;
  // This message is through: its slot may be used again once those before it are through too.
  void finish(std::uint64_t index);

 private:
  struct Place {
    TransferId id{};
    bool through = false;
  };
  Place& place(std::uint64_t index) { return ring_[index % ring_.size()]; }
  [[nodiscard]] const Place& place(std::uint64_t index) const {
    return ring_[index % ring_.size()];
  }

  Lane lane_;
  std::uint64_t size_;
  std::uint64_t total_;
  std::uint64_t posted_ = 0;
  std::uint64_t through_ = 0;  // All before it are.
  std::vector<Place> ring_;
};

}  // namespace sluice::perf
