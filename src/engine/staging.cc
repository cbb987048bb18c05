#include "src/engine/staging.h"

namespace sluice {

Status Staging::open() {
  if (!pinned_.bytes().empty()) return {};
  auto pinned = gpu_.allocate_pinned(slot_bytes_ * slots_);
  if (!pinned.ok()) return pinned.status().with_context("staging of a channel");
  // A Net that takes memory of the GPU alone is never given a slot.
  if (net_.devices().front().host_memory) {
    auto memory = net_.register_memory(pinned->bytes(), Memory::kHost);
    if (!memory.ok()) return memory.status().with_context("staging of a channel");
    memory_ = memory.take();
  }
  pinned_ = pinned.take();
  return {};
}

}  // namespace sluice
