#include "tests/support/allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<bool> counting{false};
std::atomic<std::size_t> all_threads{0};
thread_local std::size_t this_thread = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (counting.load(std::memory_order_relaxed)) {
    all_threads.fetch_add(1, std::memory_order_relaxed);
    ++this_thread;
  }
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}

void* allocate(std::size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }

void* allocate(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void* operator new(std::size_t bytes, std::align_val_t a) { return allocate(bytes, a); }
void* operator new[](std::size_t bytes, std::align_val_t a) { return allocate(bytes, a); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace sluice {

CountedAllocations::CountedAllocations() {
  all_threads.store(0);
  this_thread = 0;
  counting.store(true);
}
CountedAllocations::~CountedAllocations() { counting.store(false); }

std::size_t CountedAllocations::on_this_thread() const { return this_thread; }
std::size_t CountedAllocations::on_all_threads() const { return all_threads.load(); }

}  // namespace sluice
