#include "src/gpu/host_gpu.h"

#include <cstring>

#include "src/base/check.h"

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

GpuAnswer HostGpu::test(std::uint64_t ticket) {
  SLUICE_CHECK(ticket >= 1 && ticket <= tickets_, "ticket {} of {}", ticket, tickets_);
  return GpuAnswer::kDone;
}

}  // namespace sluice
