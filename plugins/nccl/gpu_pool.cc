#include "plugins/nccl/gpu_pool.h"

#include <fmt/format.h>

namespace sluice::nccl_plugin {

Result<std::shared_ptr<GpuPool>> GpuPool::create(std::unique_ptr<Gpu> gpu, std::uint64_t pool_bytes,
                                                 std::uint64_t extent_bytes) {
  Result<GpuMemory> memory = gpu->allocate_pinned(pool_bytes);
  if (!memory.ok()) return memory.status().with_context("SLUICE_NCCL_POOL_BYTES");
  return std::shared_ptr<GpuPool>(new GpuPool(std::move(gpu), memory.take(), extent_bytes));
}

GpuPool::GpuPool(std::unique_ptr<Gpu> gpu, GpuMemory memory, std::uint64_t extent_bytes)
    : gpu_(std::move(gpu)), memory_(std::move(memory)) {
  const std::span<std::byte> all = memory_.bytes();
  // The lowest is given out first: memory that is never used is never touched.
  for (std::size_t i = all.size() / extent_bytes; i-- > 0;) {
    free_.push_back(all.subspan(i * extent_bytes, extent_bytes));
  }
}

Result<GpuPool::Extent> GpuPool::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("the bounce pool of {} bytes is given out: a larger one is asked for "
                              "with SLUICE_NCCL_POOL_BYTES",
                              memory_.bytes().size()));
  }
  const std::span<std::byte> extent = free_.back();
  free_.pop_back();
  return Extent(shared_from_this(), extent);
}

void GpuPool::give_back(std::span<std::byte> extent) {
  const std::lock_guard lock(mutex_);
  free_.push_back(extent);
}

std::uint64_t GpuPool::copy(std::span<const std::byte> from, std::byte* to) {
  const Piece piece{from.data(), to, from.size()};
  const std::lock_guard lock(mutex_);
  return gpu_->pack({&piece, 1});
}

GpuAnswer GpuPool::test(std::uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  return gpu_->test(ticket);
}

Status GpuPool::failure() const {
  const std::lock_guard lock(mutex_);
  return gpu_->failure();
}

}  // namespace sluice::nccl_plugin
