// Memory given out in pieces that come back in the order in which they went. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::nccl_plugin {

class ByteRing {
 public:
  static constexpr std::uint32_t kMostPieces = 32;
  static constexpr std::uint64_t kPage = 4096;  // Every piece begins at a multiple of it.

  // `memory` is whole pages.
  explicit ByteRing(std::span<std::byte> memory) : memory_(memory) {}

  // `bytes` in a row, or null until more is freed. Never null for at most capacity() bytes when
  // nothing is out.
  std::byte* take(std::uint64_t bytes);
  void free_oldest();  // Something is out.
  [[nodiscard]] std::uint64_t capacity() const { return memory_.size(); }

 private:
  const std::span<std::byte> memory_;
  // Positions count on over the turns of the ring.
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  std::array<std::uint64_t, kMostPieces> ends_{};
  std::uint64_t taken_ = 0;  // Pieces.
  std::uint64_t freed_ = 0;
};

}  // namespace sluice::nccl_plugin
