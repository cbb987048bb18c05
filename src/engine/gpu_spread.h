// Chunks that are spread over blocks of GPU memory: what the Gpu copies for them, a piece a block.
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/base/fragment.h"
#include "src/engine/batches.h"
#include "src/engine/layout.h"

namespace sluice {

// Gathers the chunk into a slot of staging. The number of the batch. Only when `packs` is not full.
std::uint64_t pack_spread(const ChunkPlace& from, std::byte* slot, PackBatch& packs);

// For one window: a list stays where it is until its chunk is released.
class SpreadUnpacks {
 public:
  explicit SpreadUnpacks(std::uint32_t places) : lists_(places) {}

  // Adds what brings the fragments of a chunk, in the order of the chunk's bytes or not, from
  // `pool` to the blocks. A list grows when a chunk has more blocks than any before in its place.
  void add(const ChunkPlace& into, std::span<const Fragment> fragments,
           std::span<const std::byte> pool, std::uint32_t window_place, UnpackBatch& batch);

 private:
  struct Run {  // Of pieces in one region.
    std::uint32_t region;
    std::size_t pieces;
  };

  std::vector<std::vector<Fragment>> lists_;
  std::vector<Run> runs_;  // Scratch.
};

}  // namespace sluice
