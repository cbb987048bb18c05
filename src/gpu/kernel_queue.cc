#include "src/gpu/kernel_queue.h"

#include <algorithm>

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
bool KernelQueue<Arguments>::open(CUfunction kernel, CUfunction lingering) {
  using State = typename Arguments::State;
  int lowest = 0;
  int highest = 0;  // Priority: work of ours is short, and somebody waits for each of it.
  void* flags = nullptr;
  void* units = nullptr;
  const CudaDriver& driver = cuda_.driver;
  const unsigned int shared = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP;
  const bool good =
      cuda_.good(driver.cuCtxGetStreamPriorityRange(&lowest, &highest), "stream priorities") &&
      cuda_.good(driver.cuStreamCreateWithPriority(&stream_, CU_STREAM_NON_BLOCKING, highest),
                 "creating a stream") &&
      cuda_.good(driver.cuMemAlloc(&state_, sizeof(State)), "allocating a state") &&
      cuda_.good(driver.cuMemsetD8Async(state_, 0, sizeof(State), stream_), "clearing a state") &&
      cuda_.good(driver.cuMemHostAlloc(&flags, sizeof(std::uint64_t) * kFlags, shared),
                 "allocating flags") &&
      (lists_ == Lists::kNone ||
       cuda_.good(driver.cuMemHostAlloc(&units, sizeof(Unit) * kRing, shared),
                  "allocating a list"));
  flags_ = static_cast<std::uint64_t*>(flags);
  units_ = static_cast<Unit*>(units);
  if (!good) return false;
  kernel_ = kernel;
  lingering_ = lingering;
  std::fill_n(flags_, kFlags, 0);
  arguments_.mask = kRing - 1;
  arguments_.state = reinterpret_cast<State*>(state_);
  arguments_.flags = flags_;
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
  if (flags_ != nullptr) driver.cuMemFreeHost(flags_);
  if (units_ != nullptr) driver.cuMemFreeHost(units_);
}

// When no place is free, the host waits as it would for a full stream.
template <typename Arguments>
void KernelQueue<Arguments>::make_room() {
  freed_ = units_of(flag(kProgress));
  if (added_ - freed_ < kRing) return;
  flush();
  cuda_.good(cuda_.driver.cuStreamSynchronize(stream_), "waiting for a place in the list");
  freed_ = added_;
}

template <typename Arguments>
void KernelQueue<Arguments>::flush() {
  if (posted_ != added_) post(false);
}

template <typename Arguments>
std::uint64_t KernelQueue<Arguments>::finish(const UnitRun& run, bool may_linger) {
  ++numbers_;
  if (cuda_.linger > 0 && run.length > 0) post_run(run, progress_of(numbers_, added_));
  post(may_linger);
  return numbers_;
}

// Before the end of the list, which is how a launch comes to look for it.
template <typename Arguments>
void KernelQueue<Arguments>::post_run(const UnitRun& run, std::uint64_t progress) {
  std::uint64_t words[kRunWords];
  put_run(run, progress, words);
  for (std::uint32_t i = 0; i < kRunWords; ++i) {
    std::atomic_ref(flags_[kPosted + kRun + i]).store(words[i], std::memory_order_relaxed);
  }
}

// An open launch says that its list is closed before it looks for the last time at what is posted.
// So if it is not seen to have said so, after what is posted here can be seen, then it takes this
// along. One that is under way otherwise may have done so, or not: what is launched then begins
// where that one will have ended.
template <typename Arguments>
void KernelQueue<Arguments>::post(bool may_linger) {
  const std::uint32_t first = posted_;
  const std::uint64_t progress = progress_of(numbers_, added_);
  posted_ = added_;
  if (lists_ == Lists::kClosed) return launch_closed(first, progress, true);
  const std::uint64_t finished = flag(kFinished);
  const bool is_known = open_launch_ <= finished;
  const bool crowded = is_crowded(finished);
  const bool has_much = added_ - units_of(flag(kProgress)) > kMuch;
  may_linger = may_linger && cuda_.linger > 0 && !crowded && !has_much;
  if (cuda_.linger > 0 && !may_linger) tell(kPosted + kLeave, open_launch_);
  tell(kPosted + kEnd, progress);
  if (flag(kListClosed, std::memory_order_seq_cst) < open_launch_) return;
  if (may_linger || (crowded && finished < launches_)) {
    launch_open(may_linger);
  } else {
    launch_closed(first, progress, is_known);
  }
}

template <typename Arguments>
bool KernelQueue<Arguments>::is_crowded(std::uint64_t finished) {
  const Nanoseconds now = cuda_.clock.now();
  const bool waits = finished < launches_ && flag(kBegun) <= finished;
  if (!waits || finished != seen_finished_) {
    seen_finished_ = finished;
    seen_at_ = now;
  }
  if (now - seen_at_ > kShortWait) crowded_until_ = now + kCrowded;
  return now < crowded_until_;
}

template <typename Arguments>
void KernelQueue<Arguments>::launch_open(bool lingers) {
  arguments_.posted = &flags_[kPosted];
  arguments_.linger_ns = lingers ? static_cast<std::uint64_t>(cuda_.linger) : 0;
  arguments_.is_known = 0;
  arguments_.units = units_;
  open_launch_ = launches_ + 1;
  if (lingers) {
    launch(lingering_, LaunchShape::lingering(sms_, stream_));
  } else {
    launch(kernel_, {sms_, 1, stream_});
  }
}

template <typename Arguments>
void KernelQueue<Arguments>::launch_closed(std::uint32_t first, std::uint64_t progress,
                                           bool is_known) {
  arguments_.posted = nullptr;
  arguments_.linger_ns = 0;
  arguments_.progress = progress;
  arguments_.is_known = is_known ? 1 : 0;
  arguments_.first = first;
  arguments_.count = units_of(progress) - first;
  arguments_.units = units_;
  if (is_known && arguments_.count <= Arguments::kInlineUnits) {
    arguments_.units = nullptr;
    for (std::uint32_t i = 0; i < arguments_.count; ++i) {
      arguments_.inline_units[i] = units_[(first + i) % kRing];
    }
  }
  // A warp for each unit, if the SMs have so many.
  constexpr std::uint32_t kWarps = kLaunchThreads / kLanes;
  launch(kernel_, {std::clamp((arguments_.count + kWarps - 1) / kWarps, 1u, sms_), 1, stream_});
}

template <typename Arguments>
void KernelQueue<Arguments>::launch(CUfunction kernel, const LaunchShape& shape) {
  arguments_.launch = ++launches_;
  void* parameters[] = {&arguments_};
  cuda_.good(cuda_.driver.cuLaunchKernelEx(&shape.config, kernel, parameters, nullptr),
             "launching a kernel");
}

template <typename Arguments>
std::uint64_t KernelQueue<Arguments>::finish_stream() {
  const std::uint64_t progress = progress_of(++numbers_, added_);
  if (cuda_.writes_flags) {
    cuda_.good(cuda_.driver.cuStreamWriteValue64(
                   stream_, reinterpret_cast<CUdeviceptr>(flags_ + kProgress), progress, 0),
               "writing a flag");
  } else {
    launch_closed(added_, progress, true);
  }
  return numbers_;
}

template <typename Arguments>
void KernelQueue<Arguments>::wait() {
  cuda_.good(cuda_.driver.cuStreamSynchronize(stream_), "waiting for a stream");
}

template <typename Arguments>
void KernelQueue<Arguments>::check() {
  const CUresult result = cuda_.driver.cuStreamQuery(stream_);
  if (result != CUDA_ERROR_NOT_READY) cuda_.good(result, "running a kernel or a copy");
  static_cast<void>(is_crowded(flag(kFinished)));
}

template class KernelQueue<CopyArguments>;
template class KernelQueue<ChecksumArguments>;

}  // namespace sluice
