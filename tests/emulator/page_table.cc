#include "tests/emulator/page_table.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace sluice::emulator {

// The start of the file; the owners of the pages follow, one word each, 0 if the page is free.
struct PageTable::Shared {
  static constexpr std::uint64_t kMagic = 0x656c626174677073;
  std::uint64_t magic;
  std::uint64_t pages;
  std::atomic<std::uint64_t> next;  // Where to look first: pages are used in turn.
  std::atomic<std::uint64_t> in_use;
  std::atomic<std::uint64_t> most_in_use;
  std::atomic<std::uint64_t> taken;
  std::atomic<std::uint64_t> returned;
  std::atomic<std::uint64_t> lost;
  std::atomic<std::uint64_t> wrong_returns;
};

namespace {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

std::uint64_t word_of(PageOwner owner) {
  return static_cast<std::uint64_t>(owner.pid) << 32 | (static_cast<std::uint32_t>(owner.fd) + 1);
}

bool process_exists(std::uint64_t owner) {
  return ::kill(static_cast<pid_t>(owner >> 32), 0) == 0 || errno != ESRCH;
}

}  // namespace

PageTable PageTable::map(int fd, std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  PageTable table;
  table.fd_ = fd;
  if (memory != MAP_FAILED) table.shared_ = static_cast<Shared*>(memory);
  table.bytes_ = bytes;
  return table;
}

PageTable PageTable::create(std::uint64_t pages) {
  const std::size_t bytes = sizeof(Shared) + pages * sizeof(std::uint64_t);
  const int fd = ::memfd_create("sluice-emulator-pages", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    if (fd >= 0) ::close(fd);
    return {};
  }
  PageTable table = map(fd, bytes);
  if (table.valid()) {
    new (table.shared_) Shared{};
    table.shared_->magic = Shared::kMagic;
    table.shared_->pages = pages;
  }
  return table;
}

PageTable PageTable::open(int fd) {
  struct stat status {};
  const bool readable =
      ::fstat(fd, &status) == 0 && static_cast<std::size_t>(status.st_size) >= sizeof(Shared);
  PageTable table = readable ? map(fd, static_cast<std::size_t>(status.st_size)) : PageTable();
  if (!readable) table.fd_ = fd;
  if (!table.valid()) return {};
  const std::uint64_t room = (table.bytes_ - sizeof(Shared)) / sizeof(std::uint64_t);
  if (table.shared_->magic != Shared::kMagic || table.shared_->pages > room) return {};
  return table;
}

PageTable::PageTable(PageTable&& other) noexcept { *this = std::move(other); }

PageTable& PageTable::operator=(PageTable&& other) noexcept {
  std::swap(shared_, other.shared_);
  std::swap(bytes_, other.bytes_);
  std::swap(fd_, other.fd_);
  return *this;
}

PageTable::~PageTable() {
  if (shared_ != nullptr) ::munmap(shared_, bytes_);
  if (fd_ >= 0) ::close(fd_);
}

std::atomic<std::uint64_t>* PageTable::owners() const {
  return reinterpret_cast<std::atomic<std::uint64_t>*>(shared_ + 1);
}

std::size_t PageTable::take(PageOwner owner, std::span<std::uint32_t> pages) {
  const std::uint64_t word = word_of(owner);
  std::size_t count = take_free(word, pages);
  if (count == 0 && !pages.empty() && free_dead() > 0) count = take_free(word, pages);
  shared_->taken += count;
  const std::uint64_t in_use = shared_->in_use += count;
  std::uint64_t most = shared_->most_in_use;
  while (in_use > most && !shared_->most_in_use.compare_exchange_weak(most, in_use)) {
  }
  return count;
}

std::size_t PageTable::take_free(std::uint64_t owner, std::span<std::uint32_t> pages) {
  const std::uint64_t start = shared_->next;
  std::size_t count = 0;
  std::uint64_t last = start;
  for (std::uint64_t i = 0; i < shared_->pages && count < pages.size(); ++i) {
    const std::uint64_t page = (start + i) % shared_->pages;
    std::uint64_t nobody = 0;
    if (owners()[page] != 0 || !owners()[page].compare_exchange_strong(nobody, owner)) continue;
    pages[count++] = static_cast<std::uint32_t>(page);
    last = page + 1;
  }
  shared_->next = last % shared_->pages;
  return count;
}

std::size_t PageTable::free_dead() {
  std::size_t count = 0;
  std::uint64_t known_alive = 0;
  for (std::uint64_t page = 0; page < shared_->pages; ++page) {
    const std::uint64_t owner = owners()[page];
    if (owner == 0 || owner >> 32 == known_alive) continue;
    if (process_exists(owner)) {
      known_alive = owner >> 32;
    } else if (free_if_held(owner, page)) {
      ++count;
    }
  }
  shared_->lost += count;
  return count;
}

bool PageTable::free_if_held(std::uint64_t owner, std::uint64_t page) {
  if (!owners()[page].compare_exchange_strong(owner, 0)) return false;
  --shared_->in_use;
  return true;
}

void PageTable::untake(PageOwner owner, std::uint32_t page) {
  if (free_if_held(word_of(owner), page)) --shared_->taken;
}

void PageTable::give_back(PageOwner owner, std::uint32_t first, std::uint32_t count) {
  const std::uint64_t end = std::uint64_t{first} + count;
  const std::uint64_t within = std::min(end, shared_->pages);
  for (std::uint64_t page = first; page < within; ++page) {
    if (free_if_held(word_of(owner), page)) {
      ++shared_->returned;
    } else {
      ++shared_->wrong_returns;
    }
  }
  shared_->wrong_returns += end - std::max<std::uint64_t>(first, within);
}

void PageTable::release(PageOwner owner) {
  for (std::uint64_t page = 0; page < shared_->pages; ++page) {
    if (free_if_held(word_of(owner), page)) ++shared_->lost;
  }
}

PageCounts PageTable::counts() const {
  return {shared_->pages,    shared_->in_use, shared_->most_in_use,  shared_->taken,
          shared_->returned, shared_->lost,   shared_->wrong_returns};
}

}  // namespace sluice::emulator
