#include "tools/perf/lane_flow.h"

#include <algorithm>

namespace sluice::perf {

LaneFlow::LaneFlow(const Lane& lane, std::uint64_t size, std::uint64_t total, std::uint32_t depth)
    : lane_(lane),
      size_(size),
      total_(total),
      ring_(static_cast<std::size_t>(std::min<std::uint64_t>(depth, lane.slots))) {}

void LaneFlow::post(TransferId id) {
  place(posted_) = {id, false};
  ++posted_;
}

bool LaneFlow::find(TransferId id, std::uint64_t& index) const {
  // Nearly always the first.
  for (index = through_; index < posted_; ++index) {
    if (place(index).id == id && !place(index).through) return true;
  }
  return false;
}

void LaneFlow::finish(std::uint64_t index) {
  place(index).through = true;
  while (through_ < posted_ && place(through_).through) ++through_;
}

}  // namespace sluice::perf
