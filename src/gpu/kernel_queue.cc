#include "src/gpu/kernel_queue.h"

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

template <typename Arguments>
bool KernelQueue<Arguments>::open(CUfunction kernel) {
  using State = typename Arguments::State;
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
      cuda_.good(driver.cuMemAlloc(&state_, sizeof(State)), "allocating a state") &&
      cuda_.good(driver.cuMemsetD8Async(state_, 0, sizeof(State), stream_), "clearing a state") &&
      cuda_.good(driver.cuMemHostAlloc(&flag, 64, shared), "allocating a flag") &&
      cuda_.good(driver.cuMemHostAlloc(&units, sizeof(Unit) * kBanks * kBankUnits, shared),
                 "allocating a list");
  flag_ = static_cast<std::uint64_t*>(flag);
  units_ = static_cast<Unit*>(units);
  if (!good) return false;
  kernel_ = kernel;
  *flag_ = 0;
  arguments_.state = reinterpret_cast<State*>(state_);
  arguments_.flag = flag_;
  return true;
}

template <typename Arguments>
KernelQueue<Arguments>::~KernelQueue() {
  const CudaDriver& driver = cuda_.driver;
  if (stream_ != nullptr) {
    driver.cuStreamSynchronize(stream_);
    driver.cuStreamDestroy(stream_);
  }
  if (state_ != 0) driver.cuMemFree(state_);
  if (flag_ != nullptr) driver.cuMemFreeHost(flag_);
  if (units_ != nullptr) driver.cuMemFreeHost(units_);
}

template <typename Arguments>
void KernelQueue<Arguments>::add_unit(const Unit& unit) {
  if (end_ == kBankUnits) next_bank();
  units_[bank_ * kBankUnits + end_++] = unit;
}

// With the number of what is finished already.
template <typename Arguments>
void KernelQueue<Arguments>::flush() {
  if (begin_ == end_) return;
  launch(numbers_);
  readers_[bank_] = numbers_ + 1;
}

// A full bank is launched as it is; then, and only when all other banks are being read, the host
// waits as it would for a full stream.
template <typename Arguments>
void KernelQueue<Arguments>::next_bank() {
  flush();
  bank_ = (bank_ + 1) % kBanks;
  begin_ = end_ = 0;
  if (!done(readers_[bank_])) {
    cuda_.good(cuda_.driver.cuStreamSynchronize(stream_), "waiting for a place in the list");
  }
}

template <typename Arguments>
void KernelQueue<Arguments>::launch(std::uint64_t number) {
  const Unit* const units = units_ + bank_ * kBankUnits + begin_;
  arguments_.count = end_ - begin_;
  arguments_.ticket = number;
  arguments_.units = units;
  if (arguments_.count <= Arguments::kInlineUnits) {
    arguments_.units = nullptr;
    std::memcpy(arguments_.inline_units, units, arguments_.count * sizeof(Unit));
    end_ = begin_;  // The list itself is not read.
  } else {
    readers_[bank_] = number;
  }
  begin_ = end_;
  // A warp for each unit, if the SMs have so many.
  constexpr std::uint32_t kWarps = kLaunchThreads / 32;
  const std::uint32_t blocks = std::clamp((arguments_.count + kWarps - 1) / kWarps, 1u, sms_);
  void* parameters[] = {&arguments_};
  cuda_.good(cuda_.driver.cuLaunchKernel(kernel_, blocks, 1, 1, kLaunchThreads, 1, 1, 0, stream_,
                                         parameters, nullptr),
             "launching a kernel");
}

template <typename Arguments>
std::uint64_t KernelQueue<Arguments>::finish() {
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

template <typename Arguments>
void KernelQueue<Arguments>::wait() {
  cuda_.good(cuda_.driver.cuStreamSynchronize(stream_), "waiting for a stream");
}

template <typename Arguments>
void KernelQueue<Arguments>::check() {
  const CUresult result = cuda_.driver.cuStreamQuery(stream_);
  if (result != CUDA_ERROR_NOT_READY) cuda_.good(result, "running a kernel or a copy");
}

template class KernelQueue<CopyArguments>;
template class KernelQueue<ChecksumArguments>;

}  // namespace sluice
