// What one pass gives the Gpu to do, over all channels of all peers: one piece of work each way, so
// that its price is paid once a pass.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "src/base/check.h"
#include "src/gpu/gpu.h"

namespace sluice {

// What arrived outside of its destination: as fragments, or in staging.
class UnpackBatch {
 public:
  // A chunk may have more unpacks than one: the last one in goes beyond `capacity`.
  explicit UnpackBatch(std::size_t capacity) : capacity_(capacity) { batch_.reserve(capacity); }

  [[nodiscard]] bool full() const { return batch_.size() >= capacity_; }
  [[nodiscard]] bool empty() const { return batch_.empty(); }
  void add(const Unpack& unpack) { batch_.push_back(unpack); }
  // Starts it; the ticket, 0 when there was nothing.
  std::uint64_t launch(Gpu& gpu) {
    const std::uint64_t ticket = batch_.empty() ? 0 : gpu.unpack(batch_);
    if (ticket != 0) last_ = ticket;
    batch_.clear();
    return ticket;
  }
  // Something that was launched is not done.
  [[nodiscard]] bool pending(Gpu& gpu) const {
    return last_ != 0 && gpu.test(last_) == GpuAnswer::kPending;
  }

 private:
  const std::size_t capacity_;
  std::vector<Unpack> batch_;
  std::uint64_t last_ = 0;  // Ticket.
};

// What is packed into staging, to be sent. Its ticket is known only after the pass; until then, and
// after, a batch is known by its number.
class PackBatch {
 public:
  // A chunk may have more pieces than one: the last one in goes beyond `capacity`.
  explicit PackBatch(std::size_t capacity) : capacity_(capacity) { batch_.reserve(capacity); }

  // True: nothing can be added in this pass.
  [[nodiscard]] bool full() const {
    return batch_.size() >= capacity_ || launched_ - done_ == kMostInFlight;
  }
  // The number of the batch that it is in. Only when not full(), or after another of its chunk.
  std::uint64_t add(const Piece& piece) {
    SLUICE_CHECK(launched_ - done_ < kMostInFlight, "{} batches in flight", launched_ - done_);
    batch_.push_back(piece);
    return launched_ + 1;
  }
  // Starts it; true if there was something.
  bool launch(Gpu& gpu) {
    if (batch_.empty()) return false;
    tickets_[++launched_ % kMostInFlight] = gpu.pack(batch_);
    batch_.clear();
    return true;
  }
  GpuAnswer test(Gpu& gpu, std::uint64_t number) {
    while (done_ < launched_) {
      const GpuAnswer answer = gpu.test(tickets_[(done_ + 1) % kMostInFlight]);
      if (answer == GpuAnswer::kFailed) return answer;
      if (answer == GpuAnswer::kPending) break;
      ++done_;
    }
    return number <= done_ ? GpuAnswer::kDone : GpuAnswer::kPending;
  }
  // Something that was launched is not done.
  [[nodiscard]] bool pending(Gpu& gpu) { return test(gpu, launched_) == GpuAnswer::kPending; }

 private:
  static constexpr std::uint64_t kMostInFlight = 256;

  const std::size_t capacity_;
  std::vector<Piece> batch_;
  std::array<std::uint64_t, kMostInFlight> tickets_{};
  std::uint64_t launched_ = 0;
  std::uint64_t done_ = 0;  // All up to this one are.
};

}  // namespace sluice
