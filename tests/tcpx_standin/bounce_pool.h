// The bounce pool of the TCPX profile: pages of 4096 bytes in "device" memory, shared by all
// receiving comms of the process. Finite: who finds no page waits until one is given back. Safe
// from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace sluice::standin {

class BouncePool {
 public:
  static constexpr std::uint32_t kPageBytes = 4096;

  explicit BouncePool(std::uint32_t pages);
  ~BouncePool();
  BouncePool(const BouncePool&) = delete;
  BouncePool& operator=(const BouncePool&) = delete;

  // Between two pages that cannot be touched, so that reading past an end is a crash.
  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::uint32_t pages() const { return pages_; }
  [[nodiscard]] std::uint32_t free_pages() const;
  [[nodiscard]] std::uint32_t lost_pages() const;

  // The last page that was given back, for `owner`; nothing when all are in use.
  std::optional<std::uint32_t> take(const void* owner);
  // Overwrites the page first: whoever still reads it gets wrong bytes.
  void give_back(std::uint32_t page);
  // Nobody will give it back any more, until its owner ends.
  void lose(std::uint32_t page);
  void give_back_all_of(const void* owner);

 private:
  void give_back_locked(std::uint32_t page);

  const std::uint32_t pages_;
  std::byte* base_;
  mutable std::mutex mutex_;
  std::vector<std::uint32_t> free_;
  std::vector<const void*> owners_;  // By page; nullptr: free
  std::uint32_t lost_ = 0;
  std::vector<bool> is_lost_;
};

}  // namespace sluice::standin
