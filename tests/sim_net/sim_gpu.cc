#include "tests/sim_net/sim_gpu.h"

#include <algorithm>
#include <utility>

#include "src/base/check.h"
#include "tests/support/late_work.h"

namespace sluice::sim {

std::uint64_t SimGpu::unpack(std::span<const Unpack> batch) {
  SLUICE_CHECK(!batch.empty(), "ticket {}", tickets_);
  std::vector<Piece> pieces;
  for (const Unpack& chunk : batch) {
    for (const Fragment& f : chunk.fragments) {
      SLUICE_CHECK(
          f.pool_offset <= chunk.pool.size() && f.length <= chunk.pool.size() - f.pool_offset &&
              f.destination_offset <= chunk.destination.size() &&
              f.length <= chunk.destination.size() - f.destination_offset,
          "fragment of {} bytes at {} for {}", f.length, f.pool_offset, f.destination_offset);
      pieces.push_back({chunk.pool.data() + f.pool_offset,
                        chunk.destination.data() + f.destination_offset, f.length});
    }
  }
  return start(late_copy(std::move(pieces)));
}

std::uint64_t SimGpu::pack(std::span<const Piece> pieces) {
  SLUICE_CHECK(!pieces.empty(), "ticket {}", tickets_);
  return start(late_copy({pieces.begin(), pieces.end()}));
}

std::uint64_t SimGpu::checksum(std::span<const Checksum> batch) {
  SLUICE_CHECK(!batch.empty(), "ticket {}", tickets_);
  return start(late_checksum(batch));
}

std::uint64_t SimGpu::start(std::function<void()> work) {
  const Nanoseconds earliest = work_.empty() ? 0 : work_.back().due;
  work_.push_back({std::move(work), std::max(earliest, world_.soon(world_.options().gpu_delay))});
  world_.wake(id(), work_.back().due);
  return ++tickets_;
}

GpuAnswer SimGpu::test(std::uint64_t ticket) {
  SLUICE_CHECK(ticket >= 1 && ticket <= tickets_, "ticket {} of {}", ticket, tickets_);
  return ticket <= done_ ? GpuAnswer::kDone : GpuAnswer::kPending;
}

void SimGpu::step() {
  while (!work_.empty() && world_.now() >= work_.front().due) {
    if (world_.alive(host_)) work_.front().run();
    work_.pop_front();
    ++done_;
  }
}

}  // namespace sluice::sim
