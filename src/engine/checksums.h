// The sums by which a transfer is checked end to end: the CRC32C remainder of each chunk where it
// lies at this end, at the sender when it is posted, at the receiver when it is in place. The host
// sums what it reaches, unless the Net does it, the Gpu what is its own. One thread.
#pragma once

#include <cstdint>

#include "src/engine/batches.h"
#include "src/engine/layout.h"
#include "src/gpu/gpu.h"

namespace sluice {

// What a chunk that the host reaches adds to the remainder of its transfer.
[[nodiscard]] std::uint32_t host_share(const ChunkPlace& chunk);

// A sum that the Gpu makes.
struct GpuSum {
  std::uint64_t batch = 0;  // 0: none.
  const std::uint32_t* at = nullptr;
};

// The sums that the Gpu makes for one window.
class GpuSums {
 public:
  GpuSums(Gpu& gpu, SumBatch& batch, std::uint32_t places)
      : gpu_(gpu), batch_(batch), places_(places) {}

  // Allocates, the first time. Not OK: too little memory.
  Status open();
  [[nodiscard]] bool full() const { return batch_.full(); }
  // Of the chunk in this place of the window. Only when open() was OK and it is not full().
  GpuSum start(const ChunkPlace& chunk, std::uint32_t window_place);
  GpuAnswer test(const GpuSum& sum) { return batch_.test(gpu_, sum.batch); }
  // What a chunk whose sum is Done adds to the remainder of its transfer.
  [[nodiscard]] static std::uint32_t share(const GpuSum& sum, std::uint64_t behind);

 private:
  Gpu& gpu_;
  SumBatch& batch_;
  const std::uint32_t places_;
  GpuMemory sums_;  // Pinned: a word a place.
};

}  // namespace sluice
