// Which pages of the bounce pool hold data, shared by all processes that share the pool: a process
// that dies takes no page with it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::emulator {

inline constexpr std::size_t kPageBytes = 4096;

// A socket of a process, of which at most one exists at a time. Descriptors are not negative.
struct PageOwner {
  int pid;
  int fd;
};

struct PageCounts {
  std::uint64_t pages = 0;
  std::uint64_t in_use = 0;
  std::uint64_t most_in_use = 0;
  std::uint64_t taken = 0;          // All pages that ever were.
  std::uint64_t returned = 0;       // By the plugin, with DONTNEED.
  std::uint64_t lost = 0;           // Free again only because their socket or process ended.
  std::uint64_t wrong_returns = 0;  // DONTNEED for a page that the socket did not hold.
};

// Thread-safe and safe between processes: every state is one atomic word.
class PageTable {
 public:
  // A table of `pages` free pages in an unnamed file. Check valid().
  static PageTable create(std::uint64_t pages);
  // The table in `fd`, which another process created; `fd` becomes the table's. Check valid().
  static PageTable open(int fd);

  PageTable() = default;
  PageTable(PageTable&& other) noexcept;
  PageTable& operator=(PageTable&& other) noexcept;
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;
  ~PageTable();

  [[nodiscard]] bool valid() const { return shared_ != nullptr; }
  [[nodiscard]] int fd() const { return fd_; }  // For open() in another process.

  // Takes free pages until `pages` is full. Returns how many: less if the pool has no more, also
  // after what dead processes held has been freed.
  std::size_t take(PageOwner owner, std::span<std::uint32_t> pages);
  // Frees one page that was taken but not used: it counts as never taken.
  void untake(PageOwner owner, std::uint32_t page);
  // Frees `count` pages from `first` on, as far as `owner` holds them; others are counted as wrong.
  void give_back(PageOwner owner, std::uint32_t first, std::uint32_t count);
  // Frees all pages of a socket that ends.
  void release(PageOwner owner);
  // Frees what processes hold that no longer exist: lost pages. Returns how many.
  std::size_t free_dead();

  [[nodiscard]] PageCounts counts() const;

 private:
  struct Shared;
  static PageTable map(int fd, std::size_t bytes);
  [[nodiscard]] std::atomic<std::uint64_t>* owners() const;
  bool free_if_held(std::uint64_t owner, std::uint64_t page);
  std::size_t take_free(std::uint64_t owner, std::span<std::uint32_t> pages);

  Shared* shared_ = nullptr;
  std::size_t bytes_ = 0;
  int fd_ = -1;
};

}  // namespace sluice::emulator
