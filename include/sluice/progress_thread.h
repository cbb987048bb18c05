// An engine with a thread of its own, for callers that do not want to drive progress() or that
// have several threads. Every member may be called from any thread; a call is handed to the
// engine's thread through a mailbox and returns when that thread has answered it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>

#include "sluice/engine.h"

namespace sluice {

class ProgressThread {
 public:
  // Takes the engine over and starts the thread. From now on only this object touches it.
  static Result<std::unique_ptr<ProgressThread>> start(std::unique_ptr<Engine> engine);
  virtual ~ProgressThread() = default;  // Stops the thread, then destroys the engine.

  // Runs `call` on the engine's thread and returns once it has run. Inside, every member of Engine
  // but wait() may be used; poll() and poll_peers() would take what the two below hand out. `call`
  // must not throw and must not call back into this object.
  virtual void run(const std::function<void(Engine&)>& call) = 0;

  // As Engine::poll() and poll_peers(), but wait up to `limit` for the first one (0: do not wait).
  virtual std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) = 0;
  virtual std::size_t poll_peers(std::span<PeerEvent> out, std::chrono::microseconds limit) = 0;
};

}  // namespace sluice
