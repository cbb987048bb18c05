// The copies of one direction, spread over several streams: between two copies of one stream a copy
// engine rests for a few microseconds, in which it can do one of another stream.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "src/gpu/copy_queue.h"

namespace sluice {

// Pieces of work count as finished in their order. The context is current whenever a member is
// called, but for done().
class CopyLanes {
 public:
  CopyLanes(CudaContext& cuda, std::uint32_t sms, CopyBy by) : by_(by) {
    for (auto& lane : lanes_) lane = std::make_unique<CopyQueue>(cuda, sms, by);
  }

  // False: cuda.failure says why.
  bool open() {
    for (const auto& lane : lanes_) {
      if (!lane->open()) return false;
    }
    return true;
  }
  // Chooses where the next piece of work runs. `by_engine`: the copy engine moves all of it.
  // Kernels share one stream, so that they take no more SMs than they are given.
  void start(bool by_engine) { lane_ = by_engine ? 1 + numbers_ % (kLanes - 1) : 0; }
  // Adds to the work that finish() ends.
  void add(const std::byte* from, std::byte* to, std::uint64_t length) {
    lanes_[lane_]->add(from, to, length);
  }
  // Starts what was added and not started yet. Returns its number: 1, 2, 3, ...
  std::uint64_t finish() {
    const std::uint64_t number = ++numbers_;
    if (number > kRemembered && !done(number - kRemembered)) {
      for (const auto& lane : lanes_) lane->wait();
      static_cast<void>(done(number - kRemembered));
    }
    places_[number % kRemembered] = {lane_, lanes_[lane_]->finish()};
    return number;
  }

  // It is, and all before it.
  [[nodiscard]] bool done(std::uint64_t number) {
    while (done_ < numbers_ && done_ < number) {
      const Place& next = places_[(done_ + 1) % kRemembered];
      if (!lanes_[next.lane]->done(next.number)) break;
      ++done_;
    }
    return number <= done_;
  }
  [[nodiscard]] std::uint64_t last() const { return numbers_; }
  [[nodiscard]] bool by_engine(std::uint64_t length) const {
    return CopyQueue::by_engine(by_, length);
  }
  // Notices a stream that has stopped for good.
  void check() {
    for (const auto& lane : lanes_) lane->check();
  }

 private:
  static constexpr std::size_t kLanes = 4;
  static constexpr std::size_t kRemembered = 1024;  // Pieces of work that are not finished.

  struct Place {
    std::size_t lane = 0;
    std::uint64_t number = 0;  // In its lane.
  };

  const CopyBy by_;
  std::array<std::unique_ptr<CopyQueue>, kLanes> lanes_;
  std::array<Place, kRemembered> places_;
  std::size_t lane_ = 0;  // Of what is being added.
  std::uint64_t numbers_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace sluice
