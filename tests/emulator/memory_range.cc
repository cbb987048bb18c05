#include "tests/emulator/memory_range.h"

#include <sys/mman.h>
#include <unistd.h>

namespace sluice::emulator {
namespace {

constexpr std::uint64_t kMagic = 0x65676e6172756d65;

struct Record {
  std::uint64_t magic;
  MemoryRange range;
};

}  // namespace

int make_range_fd(MemoryRange range) {
  const int fd = ::memfd_create("sluice-emulator-range", MFD_CLOEXEC);
  if (fd < 0) return -1;
  const Record record{kMagic, range};
  if (::pwrite(fd, &record, sizeof(record), 0) == sizeof(record)) return fd;
  ::close(fd);
  return -1;
}

std::optional<MemoryRange> range_of(int fd) {
  Record record{};
  if (::pread(fd, &record, sizeof(record), 0) != sizeof(record)) return std::nullopt;
  if (record.magic != kMagic) return std::nullopt;
  return record.range;
}

}  // namespace sluice::emulator
