#include "tools/perf/driver.h"

#include <algorithm>
#include <utility>

namespace sluice::perf {
namespace {

class CallerDriver final : public Driver {
 public:
  explicit CallerDriver(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

  void run(const std::function<void(Engine&)>& call) override { call(*engine_); }

  std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) override {
    const std::size_t steps = engine_->progress();
    const std::size_t count = engine_->poll(out);
    // A step may have been a peer's coming or going, which only the caller can see.
    if (count > 0 || steps > 0 || limit.count() == 0) return count;
    engine_->wait(limit);
    return engine_->poll(out);
  }
  std::size_t poll_peers(std::span<PeerEvent> out) override { return engine_->poll_peers(out); }
  std::size_t poll_notifications(std::span<Notification> out) override {
    return engine_->poll_notifications(out);
  }

 private:
  std::unique_ptr<Engine> engine_;
};

class ThreadDriver final : public Driver {
 public:
  explicit ThreadDriver(ProgressThread& thread) : thread_(thread) {}
  explicit ThreadDriver(std::unique_ptr<ProgressThread> thread)
      : own_(std::move(thread)), thread_(*own_) {}

  void run(const std::function<void(Engine&)>& call) override { thread_.run(call); }

  std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) override {
    // Only a completion ends this wait: all else is looked at no later than this.
    constexpr std::chrono::microseconds kLongest = std::chrono::milliseconds(2);
    return thread_.poll(out, std::min(limit, kLongest));
  }
  std::size_t poll_peers(std::span<PeerEvent> out) override {
    return thread_.poll_peers(out, std::chrono::microseconds(0));
  }
  std::size_t poll_notifications(std::span<Notification> out) override {
    return thread_.poll_notifications(out, std::chrono::microseconds(0));
  }

 private:
  std::unique_ptr<ProgressThread> own_;  // nullptr: someone else's.
  ProgressThread& thread_;
};

}  // namespace

Result<std::unique_ptr<Driver>> make_driver(const Options& options, Threading threading) {
  Result<std::unique_ptr<Engine>> engine = Engine::create(options);
  if (!engine.ok()) return engine.status();
  if (threading == Threading::kCaller) {
    return std::unique_ptr<Driver>(std::make_unique<CallerDriver>(engine.take()));
  }
  Result<std::unique_ptr<ProgressThread>> thread = ProgressThread::start(engine.take());
  if (!thread.ok()) return thread.status();
  return std::unique_ptr<Driver>(std::make_unique<ThreadDriver>(thread.take()));
}

std::unique_ptr<Driver> make_driver(ProgressThread& thread) {
  return std::make_unique<ThreadDriver>(thread);
}

}  // namespace sluice::perf
