#include "src/engine/slice_order.h"

#include <algorithm>
#include <limits>

namespace sluice {
namespace {

// Longer ones are read at full speed wherever they lie.
constexpr std::uint64_t kLongest = 64 << 10;
// Fewer are not worth it.
constexpr std::size_t kFewest = 16;

bool pair_up(std::span<const Slice> local, std::span<const RemoteSlice> remote) {
  return std::equal(local.begin(), local.end(), remote.begin(), remote.end(),
                    [](const Slice& here, const RemoteSlice& there) {
                      return here.length == there.length && here.length <= kLongest;
                    });
}

}  // namespace

// False: they lie as they are to go. Slices of one region that follow each other are one run, which
// is put in order by itself.
template <typename Source>
bool SliceOrder::order(std::span<const Source> source) {
  const auto lies_before = [](const Source& a, const Source& b) {
    return a.region == b.region && a.offset < b.offset;
  };
  if (std::adjacent_find(source.begin(), source.end(), [&](const Source& a, const Source& b) {
        return lies_before(b, a);
      }) == source.end()) {
    return false;
  }
  keys_.clear();
  for (std::size_t i = 0; i < source.size();) {
    const std::size_t first = i;
    for (; i < source.size() && source[i].region == source[first].region; ++i) {
      keys_.emplace_back(source[i].offset, static_cast<std::uint32_t>(i));
    }
    std::sort(keys_.begin() + static_cast<std::ptrdiff_t>(first), keys_.end());
  }
  return true;
}

void SliceOrder::sort(std::span<const Slice>& local, std::span<const RemoteSlice>& remote,
                      bool from_local) {
  if (local.size() < kFewest || local.size() > std::numeric_limits<std::uint32_t>::max()) return;
  if (!pair_up(local, remote) || !(from_local ? order(local) : order(remote))) return;
  local_.resize(keys_.size());
  remote_.resize(keys_.size());
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    local_[i] = local[keys_[i].second];
    remote_[i] = remote[keys_[i].second];
  }
  local = local_;
  remote = remote_;
}

}  // namespace sluice
