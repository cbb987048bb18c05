#include "src/engine/gpu_spread.h"

namespace sluice {

std::uint64_t pack_spread(const ChunkPlace& from, std::byte* slot, PackBatch& packs) {
  std::uint64_t batch = 0;
  BlockWalk walk(from.layout->list, from.from);
  std::uint64_t left = from.bytes;
  for (Block piece; left > 0 && walk.next(left, piece); left -= piece.length) {
    const RegionUse& use = from.layout->regions[piece.region];
    batch = packs.add({use.base + piece.offset, slot, piece.length});
    slot += piece.length;
  }
  return batch;
}

void SpreadUnpacks::add(const ChunkPlace& into, std::span<const Fragment> fragments,
                        std::span<const std::byte> pool, std::uint32_t window_place,
                        UnpackBatch& batch) {
  const Layout& layout = *into.layout;
  std::vector<Fragment>& list = lists_[window_place];
  list.clear();
  runs_.clear();
  BlockWalk walk(layout.list, into.from);
  std::uint64_t at = 0;  // Of the chunk: where `walk` is.
  for (Fragment fragment : fragments) {
    if (fragment.destination_offset < at) {
      walk = BlockWalk(layout.list, into.from);
      at = 0;
    }
    walk.skip(fragment.destination_offset - at);
    at = fragment.destination_offset + fragment.length;
    for (Block piece; fragment.length > 0 && walk.next(fragment.length, piece);) {
      list.push_back({fragment.pool_offset, piece.length, piece.offset});
      fragment.pool_offset += piece.length;
      fragment.length -= piece.length;
      if (runs_.empty() || runs_.back().region != piece.region) runs_.push_back({piece.region, 0});
      ++runs_.back().pieces;
    }
  }
  std::span<const Fragment> rest(list);
  for (const Run& run : runs_) {
    const RegionUse& use = layout.regions[run.region];
    batch.add({rest.first(run.pieces), pool, {use.base, use.length}});
    rest = rest.subspan(run.pieces);
  }
}

}  // namespace sluice
