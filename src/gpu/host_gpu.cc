#include "src/gpu/host_gpu.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "src/base/check.h"
#include "src/base/crc32c.h"

namespace sluice {

bool fragments_fit(std::span<const Fragment> fragments, std::uint64_t pool_bytes,
                   std::uint64_t chunk_bytes, std::uint64_t arrived_bytes) {
  if (arrived_bytes > chunk_bytes) return false;
  std::uint64_t sum = 0;
  for (const Fragment& f : fragments) {
    if (f.length > pool_bytes || f.pool_offset > pool_bytes - f.length) return false;
    if (f.length > arrived_bytes || f.destination_offset > arrived_bytes - f.length) return false;
    if (f.length > arrived_bytes - sum) return false;
    sum += f.length;
  }
  return sum == arrived_bytes;
}

HostGpu::HostGpu(Pose pose)
    : pose_(pose),
      description_(pose == Pose::kPosing ? "host memory posing as a GPU's" : "no GPU") {}

std::uint64_t HostGpu::unpack(std::span<const Unpack> batch) {
  SLUICE_CHECK(!batch.empty(), "ticket {}", tickets_);
  for (const Unpack& chunk : batch) {
    for (const Fragment& f : chunk.fragments) {
      if (f.length == 0) continue;
      std::memcpy(chunk.destination.data() + f.destination_offset,
                  chunk.pool.data() + f.pool_offset, f.length);
    }
  }
  return ++tickets_;
}

std::uint64_t HostGpu::pack(std::span<const Piece> pieces) {
  SLUICE_CHECK(!pieces.empty(), "ticket {}", tickets_);
  for (const Piece& piece : pieces) {
    if (piece.length > 0) std::memcpy(piece.to, piece.from, piece.length);
  }
  return ++tickets_;
}

std::uint64_t HostGpu::checksum(std::span<const Checksum> batch) {
  SLUICE_CHECK(!batch.empty(), "ticket {}", tickets_);
  for (const Checksum& sum : batch) {
    *sum.into = 0;
    for (const auto piece : sum.pieces) *sum.into = crc32c_remainder(piece, *sum.into);
  }
  return ++tickets_;
}

GpuAnswer HostGpu::test(std::uint64_t ticket) {
  SLUICE_CHECK(ticket >= 1 && ticket <= tickets_, "ticket {} of {}", ticket, tickets_);
  return GpuAnswer::kDone;
}

// Mapped, not touched: memory that is never used costs nothing.
Result<GpuMemory> HostGpu::allocate_pinned(std::size_t bytes) {
  if (bytes == 0) return GpuMemory();
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return Status::from_errno(errno, "allocating host memory");
  return GpuMemory({static_cast<std::byte*>(base), bytes},
                   [](std::span<std::byte> range) { ::munmap(range.data(), range.size()); });
}

Result<GpuMemory> HostGpu::allocate_device(std::size_t bytes) {
  Status status = check_device({});
  if (!status.ok()) return status;
  return allocate_pinned(bytes);
}

Status HostGpu::check_device(std::span<const std::byte>) const {
  if (pose_ == Pose::kPosing) return {};
  return {StatusCode::kInvalidArgument,
          "this engine has no GPU: the setting gpu is \"none\", it takes the number of a GPU"};
}

Status HostGpu::read_device(std::span<std::byte> into, const void* from) {
  Status status = check_device({});
  if (status.ok() && !into.empty()) std::memcpy(into.data(), from, into.size());
  return status;
}

}  // namespace sluice
