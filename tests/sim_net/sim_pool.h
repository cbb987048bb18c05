// The bounce pool of one simulated host: where chunks lie in fragments until they are consumed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "src/base/fragment.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

// What a page holds once it is given back: an unpack that comes after the consume copies this.
inline constexpr std::byte kPoison{0xdb};
// What the GPUDirect-TCPX plugin has room for.
inline constexpr std::size_t kMostFragments = 2048;

class SimPool {
 public:
  explicit SimPool(SimWorld& world);

  // Scatters `bytes` over free pages: unordered, unaligned, often tiny. False when there are too
  // few pages; `waiter` is woken when some come free.
  bool place(std::span<const std::byte> bytes, std::vector<Fragment>& fragments, ActorId waiter);
  // Poisons the pages of these fragments and gives them back.
  void release(std::vector<Fragment>& fragments);

  [[nodiscard]] std::span<const std::byte> bytes() const { return {pool_.get(), pool_bytes_}; }
  [[nodiscard]] std::size_t free_pages() const { return free_.size(); }

 private:
  std::uint64_t piece_length(std::uint64_t remaining, std::size_t pieces_left, bool tiny);

  SimWorld& world_;
  std::unique_ptr<std::byte[]> pool_;
  std::size_t pool_bytes_ = 0;
  std::vector<std::uint32_t> free_;
  std::vector<ActorId> waiters_;
};

}  // namespace sluice::sim
