#include "src/engine/kept_lists.h"

#include <algorithm>
#include <functional>
#include <string_view>

namespace sluice {
namespace {

// A shorter one costs no more than naming it.
constexpr std::size_t kShortest = 64;

}  // namespace

ToldLists::Choice ToldLists::choose(std::span<const std::byte> list, std::uint64_t longest) {
  if (list.size() < kShortest || list.size() > longest) return {};
  const auto known = std::ranges::find_if(
      told_, [list](const Told& told) { return std::ranges::equal(told.list, list); });
  if (known != told_.end()) {
    known->used = ++uses_;
    if (!known->there) return {};
    return {Telling::kName, static_cast<std::uint16_t>(known - told_.begin())};
  }
  if (!seen_before(list)) return {};
  Told* oldest = nullptr;
  for (Told& told : told_) {
    const bool on_its_way = !told.list.empty() && !told.there;
    if (!on_its_way && (oldest == nullptr || told.used < oldest->used)) oldest = &told;
  }
  if (oldest == nullptr) return {};
  oldest->list.assign(list.begin(), list.end());
  oldest->there = false;
  oldest->used = ++uses_;
  return {Telling::kKeep, static_cast<std::uint16_t>(oldest - told_.data())};
}

// Lately. What differs and has the same hash does no harm.
bool ToldLists::seen_before(std::span<const std::byte> list) {
  const std::string_view bytes(reinterpret_cast<const char*>(list.data()), list.size());
  const std::size_t hash = std::hash<std::string_view>()(bytes);
  if (std::ranges::find(seen_, hash) != seen_.end()) return true;
  seen_[next_seen_++ % seen_.size()] = hash;
  return false;
}

}  // namespace sluice
