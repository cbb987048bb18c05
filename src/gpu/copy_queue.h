// A stream of a CUDA device with what copies on it: the list of units that the kernel reads, and
// the flag by which the GPU says how far it has come. Pieces of work finish in order.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "src/gpu/copy_pieces.h"
#include "src/gpu/cuda_driver.h"
#include "src/gpu/cuda_gpu.h"

namespace sluice {

// Driver and context that the queues of one CudaGpu share.
struct CudaContext {
  CudaDriver driver;
  CUcontext context = nullptr;
  CUfunction copy_pieces = nullptr;
  bool writes_flags = false;  // Streams can write a flag without a kernel.
  Status failure;             // Of the first call that failed: the context is then lost.

  // False, with `failure` set and logged, unless `result` is success.
  bool good(CUresult result, const char* what);
};

// All memory is allocated by open(). The context is current whenever a member is called, but for
// done().
class CopyQueue {
 public:
  CopyQueue(CudaContext& cuda, std::uint32_t sms, CopyBy by) : cuda_(cuda), sms_(sms), by_(by) {}
  ~CopyQueue();
  CopyQueue(const CopyQueue&) = delete;
  CopyQueue& operator=(const CopyQueue&) = delete;

  // False: cuda.failure says why.
  bool open();
  // Adds to the work that finish() ends.
  void add(const std::byte* from, std::byte* to, std::uint64_t length);
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

  // Who moves a piece of this length.
  [[nodiscard]] static bool by_engine(CopyBy by, std::uint64_t length) {
    return by == CopyBy::kCopy || (by == CopyBy::kAuto && length >= kLeastCopy);
  }

 private:
  // The list is a ring of banks; a launch reads units of one bank. All of them hold what eight full
  // windows of 512 KiB chunks leave in fragments of 4 KiB, twice.
  static constexpr std::uint32_t kBanks = 4;
  static constexpr std::uint32_t kBankUnits = 8 << 10;
  // Under kAuto, pieces of this length and more go through the copy engine: from here on it moves
  // them faster than sockets bring them, and takes no SM. docs/gpu.md has the figures.
  static constexpr std::uint64_t kLeastCopy = 512 << 10;

  void add_unit(const std::byte* from, std::byte* to, std::uint64_t length);
  void next_bank();
  void launch(std::uint64_t number);

  CudaContext& cuda_;
  const std::uint32_t sms_;
  const CopyBy by_;
  CUstream stream_ = nullptr;
  CUdeviceptr finished_ = 0;
  std::uint64_t* flag_ = nullptr;                // Pinned; the GPU writes it.
  CopyUnit* units_ = nullptr;                    // Pinned: kBanks banks.
  std::array<std::uint64_t, kBanks> readers_{};  // Last number that reads each bank.
  std::uint32_t bank_ = 0;                       // The one being filled.
  std::uint32_t begin_ = 0;                      // In it: what was added and not launched.
  std::uint32_t end_ = 0;
  std::uint64_t numbers_ = 0;
  CopyArguments arguments_{};
};

}  // namespace sluice
