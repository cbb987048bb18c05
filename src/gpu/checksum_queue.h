// A stream of a CUDA device with the kernel that takes CRC32C remainders on it. Pieces of work
// finish in order.
#pragma once

#include <cstdint>

#include "src/gpu/gpu.h"
#include "src/gpu/kernel_queue.h"

namespace sluice {

class ChecksumQueue : public KernelQueue<ChecksumArguments> {
 public:
  // Closed lists: a launch has a part in kSums Checksums at most.
  ChecksumQueue(CudaContext& cuda, std::uint32_t sms) : KernelQueue(cuda, sms, Lists::kClosed) {}

  // False: cuda.failure says why.
  bool open() { return KernelQueue::open(cuda_.checksum_pieces); }
  // Adds to the work that finish() ends.
  void add(const Checksum& checksum) {
    if (sum_ == kSums) {  // Each has a place of its own in the launch.
      flush();
      sum_ = 0;
    }
    cut_checksum(checksum, sum_++, [this](const ChecksumUnit& unit) { add_unit(unit); });
  }

 private:
  std::uint16_t sum_ = 0;  // Where the next Checksum's units are gathered.
};

}  // namespace sluice
