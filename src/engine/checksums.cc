#include "src/engine/checksums.h"

#include "src/base/crc32c.h"

namespace sluice {
namespace {

template <typename Visit>
void for_each_piece(const ChunkPlace& chunk, Visit&& visit) {
  if (!chunk.spread()) {
    visit(std::span<const std::byte>(chunk.data, chunk.bytes));
    return;
  }
  BlockWalk walk(chunk.layout->list, chunk.from);
  std::uint64_t left = chunk.bytes;
  for (Block piece; left > 0 && walk.next(left, piece); left -= piece.length) {
    const std::byte* const base = chunk.layout->regions[piece.region].base;
    visit(std::span<const std::byte>(base + piece.offset, piece.length));
  }
}

}  // namespace

std::uint32_t host_share(const ChunkPlace& chunk) {
  std::uint32_t remainder = 0;
  for_each_piece(chunk, [&](std::span<const std::byte> piece) {
    remainder = crc32c_remainder(piece, remainder);
  });
  return crc32c_shifted(remainder, chunk.behind);
}

Status GpuSums::open() {
  if (!sums_.bytes().empty()) return {};
  auto memory = gpu_.allocate_pinned(places_ * sizeof(std::uint32_t));
  if (!memory.ok()) return memory.status().with_context("checksums of GPU memory");
  sums_ = memory.take();
  batch_.open();
  return {};
}

GpuSum GpuSums::start(const ChunkPlace& chunk, std::uint32_t window_place) {
  auto* const into = reinterpret_cast<std::uint32_t*>(sums_.bytes().data()) + window_place;
  for_each_piece(chunk, [&](std::span<const std::byte> piece) { batch_.add(piece); });
  return {batch_.end(into), into};
}

std::uint32_t GpuSums::share(const GpuSum& sum, std::uint64_t behind) {
  return crc32c_shifted(*sum.at, behind);
}

}  // namespace sluice
