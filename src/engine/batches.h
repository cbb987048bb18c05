// What one pass gives the Gpu to do, over all channels of all peers: one piece of work each way, so
// that its price is paid once a pass.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
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

// Batches of one kind that the Gpu has. A ticket is known only after the pass; until then, and
// after, a batch is known by its number, from 1. A Gpu that has failed has failed for good, and so
// have all batches that were not Done.
class BatchNumbers {
 public:
  [[nodiscard]] bool full() const { return !failed_ && launched_ - done_ == kMostInFlight; }
  // Of the batch that is launched next.
  [[nodiscard]] std::uint64_t next() const {
    SLUICE_CHECK(!full(), "{} batches in flight", launched_ - done_);
    return launched_ + 1;
  }
  void launched(std::uint64_t ticket) { tickets_[++launched_ % kMostInFlight] = ticket; }
  GpuAnswer test(Gpu& gpu, std::uint64_t number) {
    while (!failed_ && done_ < launched_) {
      const GpuAnswer answer = gpu.test(tickets_[(done_ + 1) % kMostInFlight]);
      if (answer == GpuAnswer::kPending) break;
      if (answer == GpuAnswer::kFailed) {
        failed_ = true;
      } else {
        ++done_;
      }
    }
    if (number <= done_) return GpuAnswer::kDone;
    return failed_ ? GpuAnswer::kFailed : GpuAnswer::kPending;
  }
  // Something that was launched is not done.
  [[nodiscard]] bool pending(Gpu& gpu) { return test(gpu, launched_) == GpuAnswer::kPending; }

 private:
  static constexpr std::uint64_t kMostInFlight = 256;

  std::array<std::uint64_t, kMostInFlight> tickets_{};
  std::uint64_t launched_ = 0;
  std::uint64_t done_ = 0;  // All up to this one are.
  bool failed_ = false;
};

// What is packed into staging, to be sent.
class PackBatch {
 public:
  // A chunk may have more pieces than one: the last one in goes beyond `capacity`.
  explicit PackBatch(std::size_t capacity) : capacity_(capacity) { batch_.reserve(capacity); }

  // True: nothing can be added in this pass.
  [[nodiscard]] bool full() const { return batch_.size() >= capacity_ || numbers_.full(); }
  // The number of the batch that it is in. Only when not full(), or after another of its chunk.
  std::uint64_t add(const Piece& piece) {
    batch_.push_back(piece);
    return numbers_.next();
  }
  // Starts it; true if there was something.
  bool launch(Gpu& gpu) {
    if (batch_.empty()) return false;
    numbers_.launched(gpu.pack(batch_));
    batch_.clear();
    return true;
  }
  GpuAnswer test(Gpu& gpu, std::uint64_t number) { return numbers_.test(gpu, number); }
  [[nodiscard]] bool pending(Gpu& gpu) { return numbers_.pending(gpu); }

 private:
  const std::size_t capacity_;
  std::vector<Piece> batch_;
  BatchNumbers numbers_;
};

// What is summed: chunks where they lie.
class SumBatch {
 public:
  // In pieces. A chunk may have more than one: the last one in goes beyond `capacity`.
  explicit SumBatch(std::size_t capacity) : capacity_(capacity) {}

  // Allocates, the first time: most engines sum nothing on a Gpu.
  void open() {
    pieces_.reserve(capacity_);
    ends_.reserve(capacity_);
    batch_.reserve(capacity_);
  }
  // True: nothing can be added in this pass.
  [[nodiscard]] bool full() const { return pieces_.size() >= capacity_ || numbers_.full(); }
  // A piece of the chunk that end() ends. Only when not full().
  void add(std::span<const std::byte> piece) { pieces_.push_back(piece); }
  // The sum goes to `into`, pinned memory. The number of the batch that it is in.
  std::uint64_t end(std::uint32_t* into) {
    ends_.push_back({pieces_.size(), into});
    return numbers_.next();
  }
  // Starts it; true if there was something.
  bool launch(Gpu& gpu) {
    if (ends_.empty()) return false;
    std::size_t begin = 0;
    for (const End& each : ends_) {
      batch_.push_back({std::span(pieces_).subspan(begin, each.pieces - begin), each.into});
      begin = each.pieces;
    }
    numbers_.launched(gpu.checksum(batch_));
    pieces_.clear();
    ends_.clear();
    batch_.clear();
    return true;
  }
  GpuAnswer test(Gpu& gpu, std::uint64_t number) { return numbers_.test(gpu, number); }
  [[nodiscard]] bool pending(Gpu& gpu) { return numbers_.pending(gpu); }

 private:
  struct End {
    std::size_t pieces;  // Of this sum and all before it.
    std::uint32_t* into;
  };

  const std::size_t capacity_;
  std::vector<std::span<const std::byte>> pieces_;
  std::vector<End> ends_;
  std::vector<Checksum> batch_;  // Filled when all pieces are there.
  BatchNumbers numbers_;
};

}  // namespace sluice
