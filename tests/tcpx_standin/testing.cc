#include "tests/tcpx_standin/testing.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <thread>

namespace sluice::standin {

bool eventually(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(100);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

bool never(const std::function<bool()>& done) {
  for (int i = 0; i < 1000; ++i) {
    if (done()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

SluiceStandinCounters counters(void* library) {
  SluiceStandinCounters out{};
  reinterpret_cast<SluiceStandinCountersFunction>(::dlsym(library, "sluice_standin_counters"))(
      &out);
  return out;
}

std::byte pattern_at(std::size_t position, unsigned seed) {
  return static_cast<std::byte>((position * 2654435761u + position / 251 + seed * 97) >> 3);
}

Pages::Pages(std::size_t bytes) : bytes_(bytes) {
  void* all = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) std::abort();
  data_ = static_cast<std::byte*>(all);
}

Pages::~Pages() { ::munmap(data_, bytes_); }

void Pages::fill(unsigned seed) const {
  for (std::size_t i = 0; i < bytes_; ++i) data_[i] = pattern_at(i, seed);
}

std::size_t Pages::matches(unsigned seed, std::size_t bytes) const {
  std::size_t i = 0;
  while (i < bytes && data_[i] == pattern_at(i, seed)) ++i;
  return i;
}

}  // namespace sluice::standin
