// A stream of a CUDA device for copies: by a kernel, or by the copy engine. Pieces of work finish
// in order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "src/gpu/cuda_gpu.h"
#include "src/gpu/kernel_queue.h"

namespace sluice {

class CopyQueue : public KernelQueue<CopyArguments> {
 public:
  enum class Kind { kKernel, kEngine };  // Who copies all of it.
  CopyQueue(CudaContext& cuda, std::uint32_t sms, Kind kind)
      : KernelQueue(cuda, sms, kind == Kind::kKernel ? Lists::kMayBeOpen : Lists::kNone) {}

  // False: cuda.failure says why.
  bool open() { return KernelQueue::open(cuda_.copy_pieces, cuda_.copy_pieces_lingering); }
  // Adds to the work that finish() ends.
  void copy_by_kernel(const std::byte* from, std::byte* to, std::uint64_t length) {
    last_ = {};
    if (length <= kLongestRun) {
      last_ = {reinterpret_cast<std::uint64_t>(from), reinterpret_cast<std::uint64_t>(to),
               static_cast<std::uint32_t>(length)};
    }
    while (length > 0) {
      const std::uint64_t part = std::min(length, kLargestUnit);
      add_unit({from, to, part});
      from += part;
      to += part;
      length -= part;
    }
  }
  // Hands over what was added. Returns its number: 1, 2, 3, ... If more is to be expected soon, a
  // launch `may_linger`.
  std::uint64_t finish(bool may_linger) {
    return KernelQueue::finish(std::exchange(last_, {}), may_linger);
  }
  // Starts, as a part of the work that finish_copies() ends.
  void copy_by_engine(const std::byte* from, std::byte* to, std::uint64_t length) {
    const CUresult result = cuda_.driver.cuMemcpyAsync(
        reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), length, stream_);
    cuda_.good(result, "starting a copy");
  }
  // Returns its number: 1, 2, 3, ...
  std::uint64_t finish_copies() { return finish_stream(); }

 private:
  UnitRun last_{};  // Piece by the kernel, of the work that is being added.
};

}  // namespace sluice
