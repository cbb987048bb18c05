// Drives an engine on the caller's thread, or has a ProgressThread do it: the code that measures is
// the same.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "sluice/engine.h"
#include "sluice/progress_thread.h"

namespace sluice::perf {

class Driver {
 public:
  virtual ~Driver() = default;  // Ends the engine.

  // Calls `call` on the engine's thread and returns when it has run. Give a small function object
  // (std::ref of a lambda) where no allocation is wanted.
  virtual void run(const std::function<void(Engine&)>& call) = 0;

  // Completions that are there; with none, waits up to `limit` for something to happen.
  virtual std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) = 0;
  virtual std::size_t poll_peers(std::span<PeerEvent> out) = 0;
  virtual std::size_t poll_notifications(std::span<Notification> out) = 0;
};

enum class Threading { kCaller, kProgressThread };

Result<std::unique_ptr<Driver>> make_driver(const Options& options, Threading threading);
// Of an engine that is there already: `thread` outlives the driver.
std::unique_ptr<Driver> make_driver(ProgressThread& thread);

}  // namespace sluice::perf
