// A stream of a CUDA device with what copies on it: a kernel for small pieces, the copy engine for
// large ones. Pieces of work finish in order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "src/gpu/cuda_gpu.h"
#include "src/gpu/kernel_queue.h"

namespace sluice {

class CopyQueue : public KernelQueue<CopyArguments> {
 public:
  CopyQueue(CudaContext& cuda, std::uint32_t sms, CopyBy by) : KernelQueue(cuda, sms), by_(by) {}

  // False: cuda.failure says why.
  bool open() { return KernelQueue::open(cuda_.copy_pieces); }
  // Adds to the work that finish() ends.
  void add(const std::byte* from, std::byte* to, std::uint64_t length) {
    if (by_engine(by_, length)) {
      copy_by_engine(from, to, length);
      return;
    }
    while (length > 0) {
      const std::uint64_t part = std::min(length, kLargestUnit);
      add_unit({from, to, part});
      from += part;
      to += part;
      length -= part;
    }
  }

  // Who moves a piece of this length.
  [[nodiscard]] static bool by_engine(CopyBy by, std::uint64_t length) {
    return by == CopyBy::kCopy || (by == CopyBy::kAuto && length >= kLeastCopy);
  }

 private:
  // Under kAuto, pieces of this length and more go through the copy engine: from here on it moves
  // them faster than sockets bring them, and takes no SM. docs/gpu.md has the figures.
  static constexpr std::uint64_t kLeastCopy = 512 << 10;

  void copy_by_engine(const std::byte* from, std::byte* to, std::uint64_t length) {
    if (length == 0) return;
    const CUresult result = cuda_.driver.cuMemcpyAsync(
        reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), length, stream_);
    cuda_.good(result, "starting a copy");
  }

  const CopyBy by_;
};

}  // namespace sluice
