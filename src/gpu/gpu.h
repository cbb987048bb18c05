// Gpu: what moves bytes between GPU memory and memory that a Net can reach. host_gpu does it with
// memcpy, so that everything runs without a GPU; cuda_gpu needs the driver. One thread. No call
// waits for the GPU but read_device() and, when a list is full, unpack(), pack() and checksum().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

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

// A plain copy. `from` and `to` are memory of the GPU or pinned; any alignment.
struct Piece {
  const std::byte* from;
  std::byte* to;
  std::uint64_t length;  // bytes
};

// Bytes in pieces, one behind the other, and where their CRC32C remainder goes (src/base/crc32c.h):
// pinned memory.
struct Checksum {
  std::span<const std::span<const std::byte>> pieces;
  std::uint32_t* into;
};

// Owner of memory that a Gpu allocated. Move only; must not outlive the Gpu.
class GpuMemory {
 public:
  using Free = std::function<void(std::span<std::byte>)>;
  GpuMemory() = default;
  GpuMemory(std::span<std::byte> bytes, Free free) : bytes_(bytes), free_(std::move(free)) {}
  GpuMemory(GpuMemory&& other) noexcept { swap(other); }
  GpuMemory& operator=(GpuMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  GpuMemory(const GpuMemory&) = delete;
  GpuMemory& operator=(const GpuMemory&) = delete;
  ~GpuMemory() {
    if (!bytes_.empty()) free_(bytes_);
  }

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

 private:
  void swap(GpuMemory& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(free_, other.free_);
  }
  std::span<std::byte> bytes_;
  Free free_;
};

class Gpu {
 public:
  virtual ~Gpu() = default;

  // For people: "GPU 0 NVIDIA H100 0000:05:00.0, driver 13.0", "no GPU".
  [[nodiscard]] virtual const std::string& description() const = 0;

  // Each starts everything in it as one piece of work and returns its ticket, which is never 0. The
  // spans, and what they point to, must stay valid until it is Done. What is written may overlap
  // neither in it nor with work that is not Done. An empty span is not allowed. Unpacks finish in
  // their order, and so do packs.
  virtual std::uint64_t unpack(std::span<const Unpack> batch) = 0;  // Towards destinations.
  virtual std::uint64_t pack(std::span<const Piece> pieces) = 0;    // Towards what a Net sends.
  // Starts it and returns a ticket as above. The lists are read before it returns; the bytes must
  // stay as they are, and `into` is not to be looked at, until it is Done.
  virtual std::uint64_t checksum(std::span<const Checksum> batch) = 0;
  // Done: the bytes are visible to the host, and to whatever the GPU is told to do from now on.
  virtual GpuAnswer test(std::uint64_t ticket) = 0;
  // Why something failed. OK while nothing has; once it is not, everything fails.
  [[nodiscard]] virtual Status failure() const = 0;

  // Host memory that the GPU reaches at the same address. kUnavailable: too much.
  virtual Result<GpuMemory> allocate_pinned(std::size_t bytes) = 0;
  // Memory of the GPU. kUnavailable: too much.
  virtual Result<GpuMemory> allocate_device(std::size_t bytes) = 0;
  // OK if the whole range is memory of this GPU. kInvalidArgument says what it is instead.
  [[nodiscard]] virtual Status check_device(std::span<const std::byte> range) const = 0;
  // Copies a few bytes, now, from memory of the GPU; waits for that. For handles, never for data.
  virtual Status read_device(std::span<std::byte> into, const void* from) = 0;
};

// True when every fragment lies inside a pool of `pool_bytes` and a chunk of `chunk_bytes`, and
// they sum up to `arrived_bytes`. Fragments come from a foreign plugin: call this before unpack().
[[nodiscard]] bool fragments_fit(std::span<const Fragment> fragments, std::uint64_t pool_bytes,
                                 std::uint64_t chunk_bytes, std::uint64_t arrived_bytes);

}  // namespace sluice
