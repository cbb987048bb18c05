// The bounce pool's memory, which the launcher owns as rxdm does: a memfd, or an allocation on a
// GPU that other processes can import.
#pragma once

#include <cstdint>
#include <string>

#include "src/base/fd.h"

namespace sluice::emulator {

struct GpuPool {
  std::string gpu;  // PCI address, lower case.
  Fd memory;        // To hand out. Of a GPU: it keeps the allocation alive.
  std::uint64_t bytes = 0;
  std::uint64_t alignment = 0;
};

// Host memory behind the stub libraries' GPU.
Result<GpuPool> make_host_pool(std::uint64_t bytes);

// On GPU `ordinal`, rounded up to what the driver allocates. An error if there is no driver, or if
// it has no such GPU.
Result<GpuPool> make_cuda_pool(int ordinal, std::uint64_t bytes);

}  // namespace sluice::emulator
