// Memory between the Net and where a chunk lies, when the Net does not take it from there: a ring
// of slots, one for each chunk that is on its way. Slots are taken and given back in order. Pinned,
// so that the GPU reaches it; for a Net that takes GPU memory alone, memory of the GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "src/gpu/gpu.h"
#include "src/net/net.h"

namespace sluice {

class Staging {
 public:
  // kNet: slots are posted; kHost: the host fills them, and the Net never has them.
  enum class For : std::uint8_t { kNet, kHost };

  // Nothing is allocated yet. `slots` 1 or more.
  Staging(Net& net, Gpu& gpu, std::uint64_t slot_bytes, std::uint32_t slots, For user)
      : net_(net), gpu_(gpu), slot_bytes_(slot_bytes), slots_(slots), user_(user) {}

  // Allocates and registers it all, the first time: most channels carry host memory only. Takes a
  // millisecond or two. Not OK: too little memory.
  Status open();

  [[nodiscard]] bool full() const { return taken_ - given_back_ == slots_; }
  // The next slot, for at most slot_bytes, and taking it. Only when not full().
  [[nodiscard]] std::byte* next() const { return bytes().data() + taken_ % slots_ * slot_bytes_; }
  void take() { ++taken_; }
  // The oldest slot.
  void give_back() { ++given_back_; }

  [[nodiscard]] std::span<std::byte> bytes() const { return slots_memory_.bytes(); }
  [[nodiscard]] NetMemory& memory() { return *memory_; }

 private:
  Net& net_;
  Gpu& gpu_;
  const std::uint64_t slot_bytes_;
  const std::uint64_t slots_;
  const For user_;
  GpuMemory slots_memory_;
  std::unique_ptr<NetMemory> memory_;
  std::uint64_t taken_ = 0;
  std::uint64_t given_back_ = 0;
};

}  // namespace sluice
