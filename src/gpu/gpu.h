// Gpu: what moves bytes between a bounce pool and the destinations of chunks. host_gpu does it with
// memcpy, so that everything runs without a GPU. One thread; no call blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/status.h"
#include "src/base/fragment.h"

namespace sluice {

enum class GpuAnswer : std::uint8_t { kPending, kDone, kFailed };

// The fragments of one chunk and where they go. Checked by the caller: every fragment lies inside
// `pool` and inside `destination`.
struct Unpack {
  std::span<const Fragment> fragments;
  std::span<const std::byte> pool;
  std::span<std::byte> destination;
};

class Gpu {
 public:
  virtual ~Gpu() = default;

  // Starts everything in `batch` as one piece of work; the spans inside must stay valid until it
  // is Done. Returns its ticket; tickets rise and finish in order. An empty batch is not allowed.
  virtual std::uint64_t unpack(std::span<const Unpack> batch) = 0;
  // Done: the bytes are visible to whoever uses the destinations.
  virtual GpuAnswer test(std::uint64_t ticket) = 0;
  [[nodiscard]] virtual Status failure() const = 0;
};

// True when every fragment lies inside a pool of `pool_bytes` and a chunk of `chunk_bytes`, and
// they sum up to `arrived_bytes`. Fragments come from a foreign plugin: call this before unpack().
[[nodiscard]] bool fragments_fit(std::span<const Fragment> fragments, std::uint64_t pool_bytes,
                                 std::uint64_t chunk_bytes, std::uint64_t arrived_bytes);

}  // namespace sluice
