#include "tests/tcpx_standin/bounce_pool.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace sluice::standin {
namespace {

constexpr int kPoison = 0xDB;

}  // namespace

BouncePool::BouncePool(std::uint32_t pages)
    : pages_(pages), owners_(pages, nullptr), is_lost_(pages, false) {
  const std::size_t bytes = std::size_t{pages} * kPageBytes;
  void* all = ::mmap(nullptr, bytes + 2 * kPageBytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) std::abort();
  base_ = static_cast<std::byte*>(all) + kPageBytes;
  if (::mprotect(base_, bytes, PROT_READ | PROT_WRITE) != 0) std::abort();
  free_.reserve(pages);
  for (std::uint32_t page = pages; page > 0; --page) free_.push_back(page - 1);
}

BouncePool::~BouncePool() {
  ::munmap(base_ - kPageBytes, std::size_t{pages_} * kPageBytes + 2 * kPageBytes);
}

std::uint32_t BouncePool::free_pages() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint32_t>(free_.size());
}

std::uint32_t BouncePool::lost_pages() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

std::optional<std::uint32_t> BouncePool::take(const void* owner) {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return {};
  const std::uint32_t page = free_.back();
  free_.pop_back();
  owners_[page] = owner;
  return page;
}

void BouncePool::give_back(std::uint32_t page) {
  const std::lock_guard lock(mutex_);
  give_back_locked(page);
}

void BouncePool::give_back_locked(std::uint32_t page) {
  if (owners_[page] == nullptr) std::abort();  // Twice: a bug of the stand-in.
  std::memset(base_ + std::size_t{page} * kPageBytes, kPoison, kPageBytes);
  owners_[page] = nullptr;
  if (is_lost_[page]) --lost_;
  is_lost_[page] = false;
  free_.push_back(page);
}

void BouncePool::lose(std::uint32_t page) {
  const std::lock_guard lock(mutex_);
  if (!is_lost_[page]) ++lost_;
  is_lost_[page] = true;
}

void BouncePool::give_back_all_of(const void* owner) {
  const std::lock_guard lock(mutex_);
  for (std::uint32_t page = 0; page < pages_; ++page) {
    if (owners_[page] == owner) give_back_locked(page);
  }
}

}  // namespace sluice::standin
