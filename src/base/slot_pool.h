// A fixed number of objects, named by ids that are slot + generation: a look-up is an index, and a
// stale id finds nothing. Nothing is allocated after construction. One thread.
#pragma once

#include <cstdint>
#include <vector>

#include "src/base/check.h"

namespace sluice {

template <typename T>
class SlotPool {
 public:
  // Up to 2^24 objects.
  explicit SlotPool(std::uint32_t capacity) : slots_(capacity) {
    SLUICE_CHECK(capacity <= kSlotMask + 1, "capacity {}", capacity);
    free_.reserve(capacity);
    for (std::uint32_t i = capacity; i > 0; --i) free_.push_back(i - 1);
  }

  [[nodiscard]] std::uint32_t capacity() const { return static_cast<std::uint32_t>(slots_.size()); }
  [[nodiscard]] std::uint32_t used() const {
    return capacity() - static_cast<std::uint32_t>(free_.size());
  }
  [[nodiscard]] bool full() const { return free_.empty(); }

  // The id of a fresh T{}; 0 when full. An id is never 0 and never given out twice.
  std::uint64_t acquire() {
    if (free_.empty()) return 0;
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    slots_[slot].used = true;
    slots_[slot].value = T{};
    return id_of(slot);
  }

  // nullptr for a stale or invented id.
  [[nodiscard]] T* find(std::uint64_t id) {
    const auto slot = static_cast<std::uint32_t>(id & kSlotMask);
    if (slot >= slots_.size() || !slots_[slot].used || id_of(slot) != id) return nullptr;
    return &slots_[slot].value;
  }
  [[nodiscard]] const T* find(std::uint64_t id) const {
    return const_cast<SlotPool*>(this)->find(id);
  }

  // True if the id was live. Its value is destroyed and its id is stale from now on.
  bool release(std::uint64_t id) {
    if (find(id) == nullptr) return false;
    const auto slot = static_cast<std::uint32_t>(id & kSlotMask);
    slots_[slot].used = false;
    slots_[slot].value = T{};
    ++slots_[slot].generation;
    free_.push_back(slot);
    return true;
  }

  // Calls visit(id, value) for every live object; visit may release the one it is given.
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
      if (slots_[slot].used) visit(id_of(slot), slots_[slot].value);
    }
  }

 private:
  static constexpr std::uint64_t kSlotBits = 24;
  static constexpr std::uint64_t kSlotMask = (1u << kSlotBits) - 1;

  struct Slot {
    T value{};
    std::uint64_t generation = 1;  // Never 0, so no id is 0; 40 bits of it are in an id.
    bool used = false;
  };
  [[nodiscard]] std::uint64_t id_of(std::uint32_t slot) const {
    return slots_[slot].generation << kSlotBits | slot;
  }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
};

}  // namespace sluice
