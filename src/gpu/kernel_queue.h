// A stream of a CUDA device with a kernel that works through a list of units on it: the list that
// the kernel reads, and the flags by which the GPU says how far it has come. Pieces of work finish
// in order.
//
// A launch may have to wait until a kernel of the user's, which has every SM, comes to its end; and
// only one launch is let in then, because the user's next kernel is quicker than the launch that
// waits behind ours. So while launches are seen to wait, lists are open: one launch waits behind
// those that are under way, and works through all that was added by the time it begins. At other
// times they are closed: each launch has what was added when it was launched, which is sooner done
// and needs not be looked up.
//
// If the user wants that, a launch may linger that comes while there is little to do and more is to
// be expected: its list stays open for a while after it has done all, so that what comes then needs
// no launch. When there is much to do it is asked to leave, because launches that queue up copy
// more in the same time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "src/base/clock.h"
#include "src/gpu/checksum_pieces.h"
#include "src/gpu/copy_pieces.h"
#include "src/gpu/cuda_driver.h"

namespace sluice {

// Driver, context and kernels that the queues of one CudaGpu share. `clock` outlives it.
struct CudaContext {
  CudaDriver driver;
  const Clock& clock;
  CUcontext context = nullptr;
  CUfunction copy_pieces = nullptr;
  CUfunction copy_pieces_lingering = nullptr;
  CUfunction checksum_pieces = nullptr;
  bool writes_flags = false;  // Streams can write a flag without a kernel.
  Nanoseconds linger = 0;     // How long launches stay; 0, too, if the device does not let them.
  Status failure{};           // Of the first call that failed: the context is then lost.

  // False, with `failure` set and logged, unless `result` is success.
  bool good(CUresult result, const char* what);
};

// Of a launch: blocks of kLaunchThreads, so many of which are a cluster.
struct LaunchShape {
  LaunchShape(std::uint32_t blocks, std::uint32_t cluster, CUstream stream = nullptr) {
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim = {cluster, 1, 1};
    config.gridDimX = blocks;
    config.gridDimY = config.gridDimZ = 1;
    config.blockDimX = kLaunchThreads;
    config.blockDimY = config.blockDimZ = 1;
    config.hStream = stream;
    config.attrs = &attribute;
    config.numAttrs = cluster > 1 ? 1 : 0;
  }
  LaunchShape(const LaunchShape&) = delete;
  LaunchShape& operator=(const LaunchShape&) = delete;
  // A launch that lingers is one cluster.
  [[nodiscard]] static LaunchShape lingering(std::uint32_t sms, CUstream stream = nullptr) {
    const std::uint32_t blocks = std::min(sms, kMostLingering);
    return {blocks, blocks, stream};
  }

  CUlaunchAttribute attribute{};
  CUlaunchConfig config{};
};

enum class Lists {
  kMayBeOpen,
  kClosed,
  kNone,  // The stream is for other work.
};

// All memory is allocated by open(). The context is current whenever a member is called, but for
// done().
template <typename Arguments>
class KernelQueue {
 public:
  using Unit = typename Arguments::Unit;

  // Launches on at most so many SMs. `cuda` outlives it.
  KernelQueue(CudaContext& cuda, std::uint32_t sms, Lists lists)
      : cuda_(cuda), sms_(sms), lists_(lists) {}
  ~KernelQueue();
  KernelQueue(const KernelQueue&) = delete;
  KernelQueue& operator=(const KernelQueue&) = delete;

  // False: cuda.failure says why. The kernels are of the context; only lists that may be open need
  // one that lingers.
  bool open(CUfunction kernel, CUfunction lingering = nullptr);
  // Adds to the work that finish() ends.
  void add_unit(const Unit& unit) {
    if (added_ - freed_ == kRing) make_room();
    units_[added_++ % kRing] = unit;
    if (added_ - posted_ == kLongestHeld) flush();
  }
  // Hands over what was added, before the work is at its end.
  void flush();
  // Hands over what was added since the last finish(): a unit or more, the last of which are `run`.
  // Returns its number: 1, 2, 3, ... If more is to be expected soon, the launch `may_linger`.
  std::uint64_t finish(const UnitRun& run = {}, bool may_linger = false);

  [[nodiscard]] bool done(std::uint64_t number) const {
    return static_cast<std::int32_t>(number_of(flag(kProgress)) -
                                     static_cast<std::uint32_t>(number)) >= 0;
  }
  [[nodiscard]] std::uint64_t last() const { return numbers_; }
  // Notices a stream that has stopped for good, and launches that wait.
  void check();
  // Launches were seen to wait for an SM, not long ago.
  [[nodiscard]] bool crowded() const { return cuda_.clock.now() < crowded_until_; }
  // Until all is done.
  void wait();

 protected:
  // The number of work that was put on the stream otherwise. A queue has only such, or none.
  std::uint64_t finish_stream();

  CudaContext& cuda_;
  CUstream stream_ = nullptr;

 private:
  // Twice what eight full windows of 512 KiB chunks leave in fragments of 4 KiB.
  static constexpr std::uint32_t kRing = 32 << 10;          // Units. A power of two.
  static constexpr std::uint32_t kLongestHeld = kRing / 4;  // Units, until flush().
  // Of a launch that waits for an SM, until that counts as waiting.
  static constexpr Nanoseconds kShortWait = from_us(100);
  // Since a launch was seen to wait.
  static constexpr Nanoseconds kCrowded = from_ms(10);
  // With more units to be done launches are faster than one that lingers. docs/gpu.md has the
  // figures.
  static constexpr std::uint32_t kMuch = 256;
  static constexpr std::uint32_t kPosted = 8;  // In the flags, on a cache line of the host's.
  static constexpr std::size_t kFlags = kPosted + kPostedWords;

  [[nodiscard]] std::uint64_t flag(std::uint32_t place,
                                   std::memory_order order = std::memory_order_acquire) const {
    return std::atomic_ref<std::uint64_t>(flags_[place]).load(order);
  }
  void tell(std::uint32_t place, std::uint64_t value) {
    std::atomic_ref<std::uint64_t>(flags_[place]).store(value, std::memory_order_seq_cst);
  }
  [[nodiscard]] bool is_crowded(std::uint64_t finished);
  void make_room();
  void post_run(const UnitRun& run, std::uint64_t progress);
  void post(bool may_linger);
  void launch_open(bool lingers);
  void launch_closed(std::uint32_t first, std::uint64_t progress, bool is_known);
  void launch(CUfunction kernel, const LaunchShape& shape);

  const std::uint32_t sms_;
  const Lists lists_;
  CUfunction kernel_ = nullptr;
  CUfunction lingering_ = nullptr;
  CUdeviceptr state_ = 0;
  std::uint64_t* flags_ = nullptr;  // Pinned.
  Unit* units_ = nullptr;           // Pinned: a ring.
  // Units, modulo 2^32.
  std::uint32_t added_ = 0;
  std::uint32_t posted_ = 0;  // Of these, those that were handed over.
  std::uint32_t freed_ = 0;   // Of these, those whose places are known to be free.
  std::uint64_t launches_ = 0;
  std::uint64_t open_launch_ = 0;    // The last one of an open list.
  std::uint64_t seen_finished_ = 0;  // Launches.
  Nanoseconds seen_at_ = 0;          // Since when the next one waits, at most.
  Nanoseconds crowded_until_ = 0;
  std::uint64_t numbers_ = 0;  // Pieces of work.
  Arguments arguments_{};
};

extern template class KernelQueue<CopyArguments>;
extern template class KernelQueue<ChecksumArguments>;

}  // namespace sluice
