// An engine with a thread of its own, for callers that do not want to drive progress() or that
// have several threads. Every member may be called from any thread; a call is handed to the
// engine's thread through a mailbox and returns when that thread has answered it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/engine.h"

namespace sluice {

class ProgressThread {
 public:
  // Takes the engine over and starts the thread, on `cores` as the kernel lists them ("0-3,8"; ""
  // is wherever the caller may run); the engine's helper threads run there too. From now on only
  // this object touches the engine. kInvalidArgument: no engine, or no list of cores.
  static Result<std::unique_ptr<ProgressThread>> start(std::unique_ptr<Engine> engine,
                                                       const std::string& cores = "");
  // One thread for several engines, in the order given. Each result may be destroyed alone; the
  // thread ends with the last.
  static Result<std::vector<std::unique_ptr<ProgressThread>>> start_shared(
      std::vector<std::unique_ptr<Engine>> engines, const std::string& cores = "");

  // Takes the engine off the thread, stops that if it has no other, then destroys the engine.
  virtual ~ProgressThread() = default;

  // Runs `call` on the engine's thread and returns once it has run. Inside, every member of Engine
  // but wait() may be used; its poll functions would take what those below hand out. `call`
  // must not throw and must not call back into this object.
  virtual void run(const std::function<void(Engine&)>& call) = 0;

  // As those of Engine, but wait up to `limit` for the first one (0: do not wait).
  virtual std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) = 0;
  virtual std::size_t poll_peers(std::span<PeerEvent> out, std::chrono::microseconds limit) = 0;
  virtual std::size_t poll_notifications(std::span<Notification> out,
                                         std::chrono::microseconds limit) = 0;
};

}  // namespace sluice
