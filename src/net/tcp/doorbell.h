// How the helper threads of a TcpNet wake its engine thread, once that has said that it may sleep.
#pragma once

#include <atomic>
#include <utility>

#include "src/base/fd.h"

namespace sluice {

// Why no finished chunk is slept through. The engine thread arms and then looks at every channel;
// a helper finishes a chunk and then looks whether the bell is armed:
//
//   engine thread:  armed_ = true;       then reads ChunkPump::finished_
//   helper:         finished_ = k + 1;   then reads armed_
//
// All four are sequentially consistent, so they have one order that both threads agree on, and at
// least one of the two sees what the other wrote (Dekker). Acquire and release alone would let both
// miss it.
class Doorbell {
 public:
  explicit Doorbell(EventFd event) : event_(std::move(event)) {}

  // Engine thread.
  void arm() { armed_.store(true, std::memory_order_seq_cst); }
  void disarm() {
    // If a helper took it, it has rung or is about to. In the second case the bell may stay rung
    // for the next sleep, which is then short: harmless.
    if (!armed_.exchange(false, std::memory_order_seq_cst)) event_.clear();
  }
  [[nodiscard]] int fd() const { return event_.get(); }

  // Helpers.
  [[nodiscard]] bool armed() const { return armed_.load(std::memory_order_seq_cst); }
  // Rings once per arm(), whoever comes first.
  void ring() {
    if (armed_.exchange(false, std::memory_order_seq_cst)) event_.ring();
  }

 private:
  std::atomic<bool> armed_{false};
  EventFd event_;
};

}  // namespace sluice
