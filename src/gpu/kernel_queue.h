// A stream of a CUDA device with a kernel that works through lists of units on it: the list that
// the kernel reads, and the flag by which the GPU says how far it has come. Pieces of work finish
// in order.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "src/gpu/checksum_pieces.h"
#include "src/gpu/copy_pieces.h"
#include "src/gpu/cuda_driver.h"

namespace sluice {

// Driver, context and kernels that the queues of one CudaGpu share.
struct CudaContext {
  CudaDriver driver;
  CUcontext context = nullptr;
  CUfunction copy_pieces = nullptr;
  CUfunction checksum_pieces = nullptr;
  bool writes_flags = false;  // Streams can write a flag without a kernel.
  Status failure{};           // Of the first call that failed: the context is then lost.

  // False, with `failure` set and logged, unless `result` is success.
  bool good(CUresult result, const char* what);
};

// All memory is allocated by open(). The context is current whenever a member is called, but for
// done().
template <typename Arguments>
class KernelQueue {
 public:
  using Unit = typename Arguments::Unit;

  // Launches on at most so many SMs. `cuda` outlives it.
  KernelQueue(CudaContext& cuda, std::uint32_t sms) : cuda_(cuda), sms_(sms) {}
  ~KernelQueue();
  KernelQueue(const KernelQueue&) = delete;
  KernelQueue& operator=(const KernelQueue&) = delete;

  // False: cuda.failure says why. The kernel is of the context.
  bool open(CUfunction kernel);
  // Adds to the work that finish() ends.
  void add_unit(const Unit& unit);
  // Launches what was added, before the work is at its end.
  void flush();
  // Starts what was added and not started yet. Returns its number: 1, 2, 3, ...
  std::uint64_t finish();

  [[nodiscard]] bool done(std::uint64_t number) const {
    return std::atomic_ref<std::uint64_t>(*flag_).load(std::memory_order_acquire) >= number;
  }
  [[nodiscard]] std::uint64_t last() const { return numbers_; }
  // Notices a stream that has stopped for good.
  void check();
  // Until all is done.
  void wait();

 protected:
  CudaContext& cuda_;
  CUstream stream_ = nullptr;

 private:
  // The list is a ring of banks; a launch reads units of one bank. All of them hold what eight full
  // windows of 512 KiB chunks leave in fragments of 4 KiB, twice.
  static constexpr std::uint32_t kBanks = 4;
  static constexpr std::uint32_t kBankUnits = 8 << 10;

  void next_bank();
  void launch(std::uint64_t number);

  const std::uint32_t sms_;
  CUfunction kernel_ = nullptr;
  CUdeviceptr state_ = 0;
  std::uint64_t* flag_ = nullptr;                // Pinned; the GPU writes it.
  Unit* units_ = nullptr;                        // Pinned: kBanks banks.
  std::array<std::uint64_t, kBanks> readers_{};  // Last number that reads each bank.
  std::uint32_t bank_ = 0;                       // The one being filled.
  std::uint32_t begin_ = 0;                      // In it: what was added and not launched.
  std::uint32_t end_ = 0;
  std::uint64_t numbers_ = 0;
  Arguments arguments_{};
};

extern template class KernelQueue<CopyArguments>;
extern template class KernelQueue<ChecksumArguments>;

}  // namespace sluice
