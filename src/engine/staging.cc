#include "src/engine/staging.h"

namespace sluice {

Status Staging::open() {
  if (memory_ != nullptr) return {};
  auto pinned = gpu_.allocate_pinned(slot_bytes_ * slots_);
  if (!pinned.ok()) return pinned.status().with_context("staging of a channel");
  pinned_ = pinned.take();
  auto memory = net_.register_memory(pinned_.bytes(), Memory::kHost);
  if (!memory.ok()) return memory.status().with_context("staging of a channel");
  memory_ = memory.take();
  return {};
}

}  // namespace sluice
