// A file descriptor that stands for a range of device memory: what cuMemGetHandleForAddressRange
// and the dma-buf ioctl return under the emulator. The range is the file's content, so that a
// descriptor needs no bookkeeping: it may be duplicated, and closing it is its end.
#pragma once

#include <cstdint>
#include <optional>

namespace sluice::emulator {

struct MemoryRange {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};

// A new descriptor, the caller's; -1 with errno if there is none.
int make_range_fd(MemoryRange range);

// Nothing if `fd` is not such a descriptor.
std::optional<MemoryRange> range_of(int fd);

}  // namespace sluice::emulator
