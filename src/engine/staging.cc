#include "src/engine/staging.h"

namespace sluice {

Status Staging::open() {
  if (!bytes().empty()) return {};
  const bool on_gpu = user_ == For::kNet && !net_.devices().front().host_memory;
  const std::uint64_t bytes = slot_bytes_ * slots_;
  auto slots = on_gpu ? gpu_.allocate_device(bytes) : gpu_.allocate_pinned(bytes);
  if (!slots.ok()) return slots.status().with_context("staging of a channel");
  if (user_ == For::kNet) {
    auto memory = net_.register_memory(slots->bytes(), on_gpu ? Memory::kCuda : Memory::kHost);
    if (!memory.ok()) return memory.status().with_context("staging of a channel");
    memory_ = memory.take();
  }
  slots_memory_ = slots.take();
  return {};
}

}  // namespace sluice
