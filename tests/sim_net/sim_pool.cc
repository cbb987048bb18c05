#include "tests/sim_net/sim_pool.h"

#include <algorithm>
#include <cstring>

#include "src/base/check.h"

namespace sluice::sim {
namespace {

// An Arrival that is used after its chunk was consumed points nowhere.
constexpr std::uint64_t kPoisonedOffset = UINT64_MAX / 2;

}  // namespace

SimPool::SimPool(SimWorld& world) : world_(world) {
  const SimOptions& options = world.options();
  if (options.delivery == Delivery::kInPlace) return;
  const std::uint64_t pages = options.pool_bytes / options.page_bytes;
  SLUICE_CHECK(pages * options.page_bytes >= options.largest_chunk &&
                   kMostFragments * options.page_bytes >= options.largest_chunk,
               "a chunk of {} bytes must fit into {} pages of {}", options.largest_chunk, pages,
               options.page_bytes);
  pool_bytes_ = pages * options.page_bytes;
  pool_ = std::make_unique_for_overwrite<std::byte[]>(pool_bytes_);  // Large, and little is used.
  free_.reserve(pages);
  for (std::uint32_t page = 0; page < pages; ++page) free_.push_back(page);
  waiters_.reserve(1024);
}

// Full pages only when fewer would not do.
std::uint64_t SimPool::piece_length(std::uint64_t remaining, std::size_t pieces_left, bool tiny) {
  const std::uint64_t page = world_.options().page_bytes;
  const std::uint64_t full = std::min(remaining, page);
  const std::uint64_t length = 1 + world_.draw(tiny ? std::min<std::uint64_t>(full, 40) : full);
  return remaining - length <= (pieces_left - 1) * page ? length : full;
}

bool SimPool::place(std::span<const std::byte> bytes, std::vector<Fragment>& fragments,
                    ActorId waiter) {
  const std::uint64_t page = world_.options().page_bytes;
  if (bytes.size() > free_.size() * page) {
    if (std::find(waiters_.begin(), waiters_.end(), waiter) == waiters_.end()) {
      waiters_.push_back(waiter);
    }
    return false;
  }
  fragments.clear();
  const bool tiny = world_.chance(30);
  std::uint64_t done = 0;
  while (done < bytes.size()) {
    std::swap(free_[world_.draw(free_.size())], free_.back());
    const std::size_t pieces_left = std::min(free_.size(), kMostFragments - fragments.size());
    const std::uint64_t length = piece_length(bytes.size() - done, pieces_left, tiny);
    const std::uint64_t offset = free_.back() * page + world_.draw(page - length + 1);
    std::memcpy(pool_.get() + offset, bytes.data() + done, length);
    fragments.push_back({offset, length, done});
    free_.pop_back();
    done += length;
  }
  for (std::size_t i = fragments.size(); i > 1; --i) {
    std::swap(fragments[i - 1], fragments[world_.draw(i)]);
  }
  return true;
}

void SimPool::release(std::vector<Fragment>& fragments) {
  const std::uint64_t page = world_.options().page_bytes;
  for (Fragment& fragment : fragments) {
    const std::uint64_t number = fragment.pool_offset / page;
    std::memset(pool_.get() + number * page, static_cast<int>(kPoison), page);
    free_.push_back(static_cast<std::uint32_t>(number));
    fragment = {kPoisonedOffset, kPoisonedOffset, kPoisonedOffset};
  }
  fragments.clear();
  for (const ActorId waiter : waiters_) world_.wake(waiter, world_.now());
  waiters_.clear();
}

}  // namespace sluice::sim
