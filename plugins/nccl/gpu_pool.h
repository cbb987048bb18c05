// What the comms of one GPU share in UNPACK mode: the Gpu, which copies what is sent out of its
// memory, and the bounce pool: pinned memory that sockets and GPU reach alike, in extents of one
// size, each of one comm. NCCL's kernels know one base for all connections of a GPU: the pool's.
// Thread-safe: comms of one GPU may belong to different threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "src/gpu/gpu.h"

namespace sluice::nccl_plugin {

class GpuPool : public std::enable_shared_from_this<GpuPool> {
 public:
  // Owner of a part of the pool, which it keeps alive.
  class Extent {
   public:
    Extent(std::shared_ptr<GpuPool> pool, std::span<std::byte> bytes)
        : pool_(std::move(pool)), bytes_(bytes) {}
    Extent(Extent&&) noexcept = default;
    Extent& operator=(Extent&&) = delete;
    Extent(const Extent&) = delete;
    Extent& operator=(const Extent&) = delete;
    ~Extent() {
      if (pool_ != nullptr) pool_->give_back(bytes_);
    }
    [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
    [[nodiscard]] GpuPool& pool() const { return *pool_; }

   private:
    std::shared_ptr<GpuPool> pool_;
    const std::span<std::byte> bytes_;
  };

  // kUnavailable: so much memory cannot be pinned.
  static Result<std::shared_ptr<GpuPool>> create(std::unique_ptr<Gpu> gpu, std::uint64_t pool_bytes,
                                                 std::uint64_t extent_bytes);

  // kUnavailable: all extents are taken; the message names the setting.
  Result<Extent> take();
  [[nodiscard]] const std::byte* base() const { return memory_.bytes().data(); }

  // Starts to copy out of memory of the GPU, and answers with a ticket. Tickets finish in order.
  std::uint64_t copy(std::span<const std::byte> from, std::byte* to);
  GpuAnswer test(std::uint64_t ticket);
  [[nodiscard]] Status failure() const;

 private:
  GpuPool(std::unique_ptr<Gpu> gpu, GpuMemory memory, std::uint64_t extent_bytes);
  void give_back(std::span<std::byte> extent);

  mutable std::mutex mutex_;
  const std::unique_ptr<Gpu> gpu_;
  const GpuMemory memory_;
  std::vector<std::span<std::byte>> free_;
};

}  // namespace sluice::nccl_plugin
