#include "src/gpu/copy_queue.h"

#include <algorithm>
#include <cstring>

#include "src/base/log.h"

namespace sluice {

bool CudaContext::good(CUresult result, const char* what) {
  if (result == CUDA_SUCCESS) return true;
  if (failure.ok()) {
    failure = driver.status(result, what);
    SLUICE_LOG(kError, "gpu", "{}", failure.message());
  }
  return false;
}

bool CopyQueue::open() {
  int lowest = 0;
  int highest = 0;  // Priority: work of ours is short, and somebody waits for each of it.
  void* flag = nullptr;
  void* units = nullptr;
  const CudaDriver& driver = cuda_.driver;
  const unsigned int shared = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP;
  const bool good =
      cuda_.good(driver.cuCtxGetStreamPriorityRange(&lowest, &highest), "stream priorities") &&
      cuda_.good(driver.cuStreamCreateWithPriority(&stream_, CU_STREAM_NON_BLOCKING, highest),
                 "creating a stream") &&
      cuda_.good(driver.cuMemAlloc(&finished_, sizeof(std::uint32_t)), "allocating a counter") &&
      cuda_.good(driver.cuMemsetD8Async(finished_, 0, sizeof(std::uint32_t), stream_),
                 "clearing a counter") &&
      cuda_.good(driver.cuMemHostAlloc(&flag, 64, shared), "allocating a flag") &&
      cuda_.good(driver.cuMemHostAlloc(&units, sizeof(CopyUnit) * kBanks * kBankUnits, shared),
                 "allocating a list");
  flag_ = static_cast<std::uint64_t*>(flag);
  units_ = static_cast<CopyUnit*>(units);
  if (!good) return false;
  *flag_ = 0;
  arguments_.finished = reinterpret_cast<std::uint32_t*>(finished_);
  arguments_.flag = flag_;
  return true;
}

CopyQueue::~CopyQueue() {
  const CudaDriver& driver = cuda_.driver;
  if (stream_ != nullptr) {
    driver.cuStreamSynchronize(stream_);
    driver.cuStreamDestroy(stream_);
  }
  if (finished_ != 0) driver.cuMemFree(finished_);
  if (flag_ != nullptr) driver.cuMemFreeHost(flag_);
  if (units_ != nullptr) driver.cuMemFreeHost(units_);
}

void CopyQueue::add(const std::byte* from, std::byte* to, std::uint64_t length) {
  if (by_engine(by_, length)) {
    if (length == 0) return;
    const CUresult result = cuda_.driver.cuMemcpyAsync(
        reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), length, stream_);
    cuda_.good(result, "starting a copy");
    return;
  }
  while (length > 0) {
    const std::uint64_t part = std::min(length, kLargestUnit);
    add_unit(from, to, part);
    from += part;
    to += part;
    length -= part;
  }
}

void CopyQueue::add_unit(const std::byte* from, std::byte* to, std::uint64_t length) {
  if (end_ == kBankUnits) next_bank();
  units_[bank_ * kBankUnits + end_++] = {from, to, length};
}

// A full bank is launched as it is, with the number of what is finished already; then, and only
// when all other banks are being read, the host waits as it would for a full stream.
void CopyQueue::next_bank() {
  if (begin_ < end_) {
    launch(numbers_);
    readers_[bank_] = numbers_ + 1;
  }
  bank_ = (bank_ + 1) % kBanks;
  begin_ = end_ = 0;
  if (!done(readers_[bank_])) {
    cuda_.good(cuda_.driver.cuStreamSynchronize(stream_), "waiting for a place in the list");
  }
}

void CopyQueue::launch(std::uint64_t number) {
  const CopyUnit* units = units_ + bank_ * kBankUnits + begin_;
  arguments_.count = end_ - begin_;
  arguments_.ticket = number;
  arguments_.units = units;
  if (arguments_.count <= kInlineUnits) {
    arguments_.units = nullptr;
    std::memcpy(arguments_.inline_units, units, arguments_.count * sizeof(CopyUnit));
    end_ = begin_;  // The list itself is not read.
  } else {
    readers_[bank_] = number;
  }
  begin_ = end_;
  // A warp for each unit, if the SMs have so many.
  constexpr std::uint32_t kWarps = kCopyThreads / 32;
  const std::uint32_t blocks = std::clamp((arguments_.count + kWarps - 1) / kWarps, 1u, sms_);
  void* parameters[] = {&arguments_};
  cuda_.good(cuda_.driver.cuLaunchKernel(cuda_.copy_pieces, blocks, 1, 1, kCopyThreads, 1, 1, 0,
                                         stream_, parameters, nullptr),
             "launching copy_pieces");
}

std::uint64_t CopyQueue::finish() {
  const std::uint64_t number = ++numbers_;
  if (begin_ < end_ || !cuda_.writes_flags) {
    launch(number);
  } else {
    cuda_.good(
        cuda_.driver.cuStreamWriteValue64(stream_, reinterpret_cast<CUdeviceptr>(flag_), number, 0),
        "writing a flag");
  }
  return number;
}

void CopyQueue::wait() {
  cuda_.good(cuda_.driver.cuStreamSynchronize(stream_), "waiting for copies");
}

void CopyQueue::check() {
  const CUresult result = cuda_.driver.cuStreamQuery(stream_);
  if (result != CUDA_ERROR_NOT_READY) cuda_.good(result, "copying");
}

}  // namespace sluice
