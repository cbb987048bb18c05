// The copies of one direction: one lane, which is a stream, for the copy engine and one for
// kernels. Copies on more than one stream would keep the copy engine busier, but chunks that are
// paced by it are what keeps sockets fast: docs/gpu.md has the figures.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <utility>

#include "src/gpu/copy_queue.h"

namespace sluice {

// Pieces of work count as finished in their order. The context is current whenever a member is
// called, but for done().
class CopyLanes {
 public:
  CopyLanes(CudaContext& cuda, std::uint32_t sms, CopyBy by)
      : cuda_(cuda),
        by_(by),
        engine_(cuda, sms, CopyQueue::Kind::kEngine),
        kernels_(cuda, sms, CopyQueue::Kind::kKernel) {}

  // False: cuda.failure says why.
  bool open() { return engine_.open() && kernels_.open(); }
  // Adds to the work that finish() ends.
  void add(const std::byte* from, std::byte* to, std::uint64_t length) {
    if (length == 0) return;
    release_held();
    if (by_ == CopyBy::kAuto && length < kLeastCopy && !to_engine_ && !to_kernels_) {
      held_ = {from, to, length};
    } else if (by_engine(length)) {
      copy_by_engine({from, to, length});
    } else {
      copy_by_kernel({from, to, length});
    }
  }
  // Starts what was added and not started yet. Returns its number: 1, 2, 3, ...
  std::uint64_t finish() {
    const bool closely = follows_closely();
    if (held_.length > 0 && alone_by_engine(closely)) copy_by_engine(std::exchange(held_, {}));
    release_held();
    const std::uint64_t number = ++numbers_;
    if (number > kRemembered && !done(number - kRemembered)) wait();
    places_[number % kRemembered] = {to_engine_ ? engine_.finish_copies() : 0,
                                     to_kernels_ ? kernels_.finish(closely) : 0};
    to_engine_ = to_kernels_ = false;
    return number;
  }

  // It is, and all before it.
  [[nodiscard]] bool done(std::uint64_t number) {
    while (done_ < numbers_ && done_ < number) {
      const Place& next = places_[(done_ + 1) % kRemembered];
      if (next.by_engine != 0 && !engine_.done(next.by_engine)) break;
      if (next.by_kernels != 0 && !kernels_.done(next.by_kernels)) break;
      ++done_;
    }
    return number <= done_;
  }
  [[nodiscard]] std::uint64_t last() const { return numbers_; }
  // Notices a stream that has stopped for good, and launches that wait.
  void check() {
    engine_.check();
    kernels_.check();
  }

 private:
  // Under kAuto, pieces of this length and more go through the copy engine: from here on it moves
  // them faster than sockets bring them, and takes no SM. docs/gpu.md has the figures.
  static constexpr std::uint64_t kLeastCopy = 512 << 10;
  static constexpr std::size_t kRemembered = 1024;  // Pieces of work that are not finished.

  struct Copy {
    const std::byte* from = nullptr;
    std::byte* to = nullptr;
    std::uint64_t length = 0;
  };
  // Numbers of its two parts, 0 for none.
  struct Place {
    std::uint64_t by_engine = 0;
    std::uint64_t by_kernels = 0;
  };

  [[nodiscard]] bool by_engine(std::uint64_t length) const {
    return by_ == CopyBy::kCopy || (by_ == CopyBy::kAuto && length >= kLeastCopy);
  }
  // Within the time that a kernel lingers: only then more is to be expected within it.
  [[nodiscard]] bool follows_closely() {
    if (cuda_.linger == 0) return false;
    const Nanoseconds before = std::exchange(finished_at_, cuda_.clock.now());
    return finished_at_ - before < cuda_.linger;
  }
  // A small piece that is all there is to do is moved sooner by the copy engine, which needs no SM
  // to be free, than by a launch; but not sooner than by a kernel that lingers, if that is let in.
  [[nodiscard]] bool alone_by_engine(bool closely) {
    return cuda_.writes_flags && (!closely || kernels_.crowded()) && done(numbers_);
  }
  void copy_by_engine(const Copy& copy) {
    engine_.copy_by_engine(copy.from, copy.to, copy.length);
    to_engine_ = true;
  }
  void copy_by_kernel(const Copy& copy) {
    kernels_.copy_by_kernel(copy.from, copy.to, copy.length);
    to_kernels_ = true;
  }
  void release_held() {
    if (held_.length > 0) copy_by_kernel(std::exchange(held_, {}));
  }
  void wait() {
    engine_.wait();
    kernels_.wait();
    static_cast<void>(done(numbers_ - kRemembered));
  }

  const CudaContext& cuda_;
  const CopyBy by_;
  CopyQueue engine_;
  CopyQueue kernels_;
  std::array<Place, kRemembered> places_;
  // Of what is being added.
  Copy held_;  // The first piece, if it may turn out to be the only one.
  bool to_engine_ = false;
  bool to_kernels_ = false;
  std::uint64_t numbers_ = 0;
  std::uint64_t done_ = 0;
  Nanoseconds finished_at_ = std::numeric_limits<Nanoseconds>::min() / 2;  // The last one.
};

}  // namespace sluice
