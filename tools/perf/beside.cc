#include "tools/perf/beside.h"

#include <algorithm>
#include <array>

namespace sluice::perf {
namespace {

// The next one is there when one ends.
constexpr std::size_t kUnderWay = 2;

}  // namespace

Beside::Beside(Hub& hub, Link& link, RegionId here, bool writes, std::uint64_t bytes)
    : hub_(hub), link_(link), here_(here), writes_(writes), bytes_(bytes) {
  in_flight_.reserve(kUnderWay);
}

Status Beside::keep_up(RemoteRegionId there) {
  const std::array here{Slice{here_, 0, bytes_}};
  const std::array remote{RemoteSlice{there, 0, bytes_}};
  while (bytes_ > 0 && !stopped_ && in_flight_.size() < kUnderWay) {
    Result<TransferId> id{TransferId{}};
    hub_.driver().run([&](Engine& engine) {
      id = writes_ ? engine.write(link_.peer(), here, remote)
                   : engine.read(link_.peer(), here, remote);
    });
    if (!id.ok()) return id.status();
    in_flight_.push_back(*id);
  }
  return {};
}

bool Beside::on_completion(const Completion& completion) {
  const auto found = std::ranges::find(in_flight_, completion.id);
  if (found == in_flight_.end()) return false;
  in_flight_.erase(found);
  moved_ += completion.bytes;
  if (!completion.status.ok() && failure_.ok()) failure_ = completion.status;
  return true;
}

}  // namespace sluice::perf
