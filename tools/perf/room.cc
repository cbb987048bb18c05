#include "tools/perf/room.h"

#include <algorithm>
#include <utility>

#include "tools/perf/machine.h"

namespace sluice::perf {

Status Room::fit(std::uint64_t size, std::uint64_t least_slots, std::uint64_t beside) {
  // What an earlier client left behind is freed first: it counts as taken until then.
  while (hub_.retiring()) {
    if (Status status = hub_.pass(std::chrono::milliseconds(1)); !status.ok()) return status;
  }
  const std::uint64_t present = region_.buffer.bytes().size();
  const std::uint64_t available = std::min(available_memory() + present, most_);
  Result<Layout> layout = make_layout(size, least_slots, beside, available);
  if (!layout.ok()) return layout.status();
  if (present < layout->region_bytes) {
    empty();
    while (hub_.retiring()) {
      if (Status status = hub_.pass(std::chrono::milliseconds(1)); !status.ok()) return status;
    }
    Result<Region> region = hub_.allocate(static_cast<std::size_t>(layout->region_bytes), kind_);
    if (!region.ok()) return region.status();
    region_ = region.take();
  }
  layout_ = *layout;
  return {};
}

void Room::empty() { hub_.retire(std::exchange(region_, {})); }

}  // namespace sluice::perf
