#include "src/engine/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "src/engine/wire.h"

namespace sluice {

bool Layout::on_host() const {
  return std::all_of(regions.begin(), regions.end(),
                     [](const RegionUse& use) { return use.on_host; });
}

bool Layout::on_gpu() const {
  return std::none_of(regions.begin(), regions.end(),
                      [](const RegionUse& use) { return use.on_host; });
}

Status Layout::check_kinds(std::uint64_t blocks, std::uint64_t bytes) const {
  if (on_host() || blocks <= 1) return {};
  if (!on_gpu()) {
    return {StatusCode::kUnavailable, "one list of blocks of host memory and of GPU memory"};
  }
  if (bytes / kLeastGpuBlock >= blocks) return {};
  return {StatusCode::kUnavailable,
          fmt::format("{} blocks of GPU memory have {} bytes, {} each is the least", blocks, bytes,
                      kLeastGpuBlock)};
}

std::span<const std::byte> Layout::remote_list() const {
  const std::size_t refs = remote_regions * wire::RegionRef::kBytes;
  return std::span(payload).subspan(refs, remote_list_bytes);
}

void Layout::drop_remote_list() {
  const auto at = payload.begin() + (remote_list().data() - payload.data());
  payload.erase(at, at + static_cast<std::ptrdiff_t>(remote_list_bytes));
  remote_list_bytes = 0;
}

void Layout::clear() {
  regions.clear();
  list = {};
  own_list.clear();
  next = {};
  payload.clear();
  remote_generation = 0;
  remote_regions = 0;
  remote_list_bytes = 0;
  notification_bytes = 0;
  notifies = false;
  remote_on_host = true;
}

ChunkPlace take_chunk(Layout& layout, std::uint64_t bytes) {
  BlockWalk walk(layout.list, layout.next);
  ChunkPlace place{nullptr, nullptr, &layout, layout.next, bytes};
  Block first;
  if (walk.next(bytes, first)) {
    if (first.length == bytes) {
      const RegionUse& use = layout.regions[first.region];
      place.data = use.base + first.offset;
      place.memory = use.memory;
    } else {
      walk.skip(bytes - first.length);
    }
  }
  layout.next = walk.cursor();
  return place;
}

std::span<const ChunkPiece> PieceLists::list(const ChunkPlace& place, std::uint32_t window_place) {
  if (most_ <= 1) return {};
  if (pieces_ == nullptr) {  // Not cleared: pages are touched as far as chunks have pieces.
    pieces_ = std::make_unique_for_overwrite<ChunkPiece[]>(std::size_t{places_} * most_);
  }
  const std::span<ChunkPiece> list(pieces_.get() + std::size_t{window_place} * most_, most_);
  std::size_t count = 0;
  BlockWalk walk(place.layout->list, place.from);
  std::uint64_t left = place.bytes;
  for (Block piece; left > 0 && walk.next(left, piece); left -= piece.length) {
    const RegionUse& use = place.layout->regions[piece.region];
    std::byte* const at = use.base + piece.offset;
    if (count > 0 && list[count - 1].at + list[count - 1].bytes == at) {  // Neighbours are one.
      list[count - 1].bytes += piece.length;
      continue;
    }
    if (count == list.size() || use.memory == nullptr) return {};
    list[count++] = {at, piece.length};
  }
  return list.first(count);
}

void gather(const ChunkPlace& place, std::byte* to) {
  BlockWalk walk(place.layout->list, place.from);
  std::uint64_t left = place.bytes;
  for (Block piece; left > 0 && walk.next(left, piece); left -= piece.length) {
    std::memcpy(to, place.layout->regions[piece.region].base + piece.offset, piece.length);
    to += piece.length;
  }
}

namespace {

// What lies spread over much memory is in no cache: stores would wait for their lines, a few at a
// time, and what follows would wait for the stores.
void copy_to_cold(std::byte* to, std::span<const std::byte> from) {
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kMost = 16 << 10;  // Of longer ones the first lines would be gone again.
  if (from.size() <= kMost) {
    for (std::size_t at = 0; at < from.size(); at += kLine) __builtin_prefetch(to + at, 1);
  }
  std::memcpy(to, from.data(), from.size());
}

}  // namespace

void scatter(const ChunkPlace& place, std::uint64_t offset, std::span<const std::byte> part) {
  BlockWalk walk(place.layout->list, place.from);
  walk.skip(offset);
  for (Block piece; !part.empty() && walk.next(part.size(), piece);) {
    copy_to_cold(place.layout->regions[piece.region].base + piece.offset, part.first(piece.length));
    part = part.subspan(piece.length);
  }
}

}  // namespace sluice
