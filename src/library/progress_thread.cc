// A mailbox around an engine, with the only mutex of an engine, and the threads that drive engines.
#include "sluice/progress_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/cores.h"
#include "src/base/log.h"

namespace sluice {
namespace {

// An engine and what goes in and out of it. Its thread calls step(); all else is for any thread.
class Mailbox {
 public:
  explicit Mailbox(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

  void run(const std::function<void(Engine&)>& call) {
    Letter letter{&call};
    {
      const std::lock_guard lock(mutex_);
      mailbox_.push_back(&letter);
      has_mail_.store(true);
    }
    engine_->interrupt();
    const auto answered = [&] { return letter.done.load(std::memory_order_acquire); };
    if (spin_until(Clock::now() + kSpin, answered)) return;
    Sleeper sleeper(*this);
    answered_.wait(sleeper.lock, answered);
  }

  std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) {
    return take(completions_, out, limit);
  }
  std::size_t poll_peers(std::span<PeerEvent> out, std::chrono::microseconds limit) {
    return take(peer_events_, out, limit);
  }
  std::size_t poll_notifications(std::span<Notification> out, std::chrono::microseconds limit) {
    const std::size_t count = take(notifications_, out, limit);
    if (count > 0) engine_->interrupt();  // There may be more that had no room.
    return count;
  }

  // The engine's thread. True when something was done.
  bool step() {
    if (has_mail_.load(std::memory_order_relaxed)) read_mail();
    const std::size_t steps = engine_->progress();
    return deliver() || steps > 0;
  }
  // What wait() and arm() did may have left something to hand out.
  bool deliver() {
    std::array<Completion, 64> completions;
    std::array<PeerEvent, 8> events;
    const std::size_t completed = engine_->poll(completions);
    const std::size_t happened = engine_->poll_peers(events);
    // At most so many lie here: what is not taken is to hold up the peer that tells it.
    std::array<Notification, 8> told;
    const bool room = notifications_.count.load(std::memory_order_relaxed) < kMostNotifications;
    const std::size_t notified = room ? engine_->poll_notifications(told) : 0;
    if (completed + happened + notified == 0) return false;
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < completed; ++i) {
      completions_.items.push_back(std::move(completions[i]));
    }
    for (std::size_t i = 0; i < happened; ++i) peer_events_.items.push_back(std::move(events[i]));
    for (std::size_t i = 0; i < notified; ++i) {
      notifications_.items.push_back(std::move(told[i]));
    }
    notifications_.count.store(notifications_.items.size(), std::memory_order_release);
    completions_.count.store(completions_.items.size(), std::memory_order_release);
    peer_events_.count.store(peer_events_.items.size(), std::memory_order_release);
    if (sleepers_ > 0) delivered_.notify_all();
    return true;
  }

  [[nodiscard]] Engine& engine() { return *engine_; }

  // Asks the thread to take no more steps, and ends the engine when it has agreed.
  void leave() {
    leaving_.store(true);
    engine_->interrupt();
    left_.wait(false);
    engine_.reset();
  }
  [[nodiscard]] bool leaving() const { return leaving_.load(std::memory_order_relaxed); }
  void agree_to_leave() {  // The engine's thread, which does not touch the engine after it.
    left_.store(true);
    left_.notify_all();
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Letter {
    const std::function<void(Engine&)>* call;
    std::atomic<bool> done{false};  // Set with the mutex held; the letter is its writer's again.
  };
  template <typename Item>
  struct Tray {
    std::deque<Item> items;
    std::atomic<std::size_t> count{0};  // Of items, to look at without the mutex.
  };

  // A caller that gives up its core: from its construction on, answers and deliveries are notified.
  struct Sleeper {
    explicit Sleeper(Mailbox& owner) : lock(owner.mutex_), mailbox(owner) { ++mailbox.sleepers_; }
    ~Sleeper() { --mailbox.sleepers_; }
    std::unique_lock<std::mutex> lock;
    Mailbox& mailbox;
  };

  // What is about to come costs no sleep and no wake-up. Yields, because the thread that is waited
  // for may need this core.
  template <typename Ready>
  static bool spin_until(Clock::time_point end, Ready&& ready) {
    while (!ready()) {
      if (Clock::now() >= end) return false;
      sched_yield();
    }
    return true;
  }

  template <typename Item>
  std::size_t take(Tray<Item>& tray, std::span<Item> out, std::chrono::microseconds limit) {
    const auto start = Clock::now();
    const auto filled = [&] { return tray.count.load(std::memory_order_acquire) > 0; };
    if (!spin_until(start + std::min(limit, kSpin), filled)) {
      if (limit <= kSpin) return 0;
      Sleeper sleeper(*this);
      delivered_.wait_until(sleeper.lock, start + limit, filled);
    }
    const std::lock_guard lock(mutex_);
    std::size_t count = 0;
    while (count < out.size() && !tray.items.empty()) {
      out[count++] = std::move(tray.items.front());
      tray.items.pop_front();
    }
    tray.count.store(tray.items.size(), std::memory_order_release);
    return count;
  }

  void read_mail() {
    {
      const std::lock_guard lock(mutex_);
      reading_.swap(mailbox_);
      has_mail_.store(false);
    }
    for (Letter* letter : reading_) (*letter->call)(*engine_);
    const std::lock_guard lock(mutex_);
    for (Letter* letter : reading_) letter->done.store(true, std::memory_order_release);
    reading_.clear();
    if (sleepers_ > 0) answered_.notify_all();
  }

  // As long as a sleep and a wake-up of an idle core may take (docs/performance.md).
  static constexpr std::chrono::microseconds kSpin{100};
  static constexpr std::size_t kMostNotifications = 64;

  std::unique_ptr<Engine> engine_;
  std::atomic<bool> has_mail_{false};
  std::atomic<bool> leaving_{false};
  std::atomic<bool> left_{false};
  std::vector<Letter*> reading_;  // The engine thread's, kept for its memory.
  std::mutex mutex_;              // Guards all below.
  std::condition_variable answered_;
  std::condition_variable delivered_;
  int sleepers_ = 0;
  std::vector<Letter*> mailbox_;
  Tray<Completion> completions_;
  Tray<PeerEvent> peer_events_;
  Tray<Notification> notifications_;
};

// A thread that drives the engines of its mailboxes until all have left.
class EngineThread {
 public:
  EngineThread(std::vector<std::shared_ptr<Mailbox>> mailboxes, std::string cores)
      : mailboxes_(std::move(mailboxes)), cores_(std::move(cores)) {
    thread_ = std::thread([this] { loop(); });
    pthread_setname_np(thread_.native_handle(), "sluice-engine");
  }
  ~EngineThread() { thread_.join(); }  // After every mailbox has left.
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

 private:
  void loop() {
    // A NIC's cores may be closed to this process: slower, no reason not to run.
    if (Status status = run_on_cores(cores_); !status.ok()) {
      SLUICE_LOG(kWarning, "engine", "a progress thread runs anywhere: {}", status.message());
    }
    while (!mailboxes_.empty()) {
      bool busy = false;
      for (const auto& mailbox : mailboxes_) busy = mailbox->step() || busy;
      std::erase_if(mailboxes_, [](const std::shared_ptr<Mailbox>& mailbox) {
        if (!mailbox->leaving()) return false;
        const std::shared_ptr<Mailbox> kept = mailbox;  // Its owner may go while it is told.
        kept->agree_to_leave();
        return true;
      });
      if (busy || mailboxes_.empty()) continue;
      mailboxes_.size() == 1 ? wait_for_one() : wait_for_several();
    }
  }

  void wait_for_one() {
    mailboxes_.front()->engine().wait(std::chrono::seconds(1));
    mailboxes_.front()->deliver();
  }

  // Sleeps when every engine agrees, until one of them has work.
  void wait_for_several() {
    std::chrono::microseconds limit = std::chrono::seconds(1);
    std::size_t armed = 0;
    descriptors_.resize(mailboxes_.size());
    for (; armed < mailboxes_.size(); ++armed) {
      Engine& engine = mailboxes_[armed]->engine();
      const std::chrono::microseconds most = engine.arm();
      if (most.count() == 0) break;
      limit = std::min(limit, most);
      descriptors_[armed] = {engine.wake_fd(), POLLIN, 0};
    }
    if (armed == mailboxes_.size()) {
      const timespec time{limit.count() / 1'000'000, limit.count() % 1'000'000 * 1000};
      ::ppoll(descriptors_.data(), descriptors_.size(), &time, nullptr);
    }
    for (std::size_t i = 0; i < armed; ++i) mailboxes_[i]->engine().disarm();
    if (armed < mailboxes_.size()) sched_yield();
  }

  std::vector<std::shared_ptr<Mailbox>> mailboxes_;
  std::vector<pollfd> descriptors_;  // Of one wait, kept for its memory.
  std::string cores_;
  std::thread thread_;
};

// A mailbox as its user holds it.
class MailboxThread final : public ProgressThread {
 public:
  MailboxThread(std::shared_ptr<Mailbox> mailbox, std::shared_ptr<EngineThread> thread)
      : mailbox_(std::move(mailbox)), thread_(std::move(thread)) {}
  ~MailboxThread() override { mailbox_->leave(); }

  void run(const std::function<void(Engine&)>& call) override { mailbox_->run(call); }
  std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) override {
    return mailbox_->poll(out, limit);
  }
  std::size_t poll_peers(std::span<PeerEvent> out, std::chrono::microseconds limit) override {
    return mailbox_->poll_peers(out, limit);
  }
  std::size_t poll_notifications(std::span<Notification> out,
                                 std::chrono::microseconds limit) override {
    return mailbox_->poll_notifications(out, limit);
  }

 private:
  std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<EngineThread> thread_;  // The last one to let go joins it.
};

}  // namespace

Result<std::vector<std::unique_ptr<ProgressThread>>> ProgressThread::start_shared(
    std::vector<std::unique_ptr<Engine>> engines, const std::string& cores) {
  const bool missing = std::any_of(engines.begin(), engines.end(),
                                   [](const auto& engine) { return engine == nullptr; });
  if (missing || engines.empty()) return Status(StatusCode::kInvalidArgument, "no engine");
  if (!cores.empty()) {
    if (const auto parsed = parse_cores(cores); !parsed.ok()) return parsed.status();
  }
  std::vector<std::shared_ptr<Mailbox>> mailboxes;
  for (auto& engine : engines) mailboxes.push_back(std::make_shared<Mailbox>(std::move(engine)));
  const auto thread = std::make_shared<EngineThread>(mailboxes, cores);
  std::vector<std::unique_ptr<ProgressThread>> result;
  for (auto& mailbox : mailboxes) {
    result.push_back(std::make_unique<MailboxThread>(std::move(mailbox), thread));
  }
  return result;
}

Result<std::unique_ptr<ProgressThread>> ProgressThread::start(std::unique_ptr<Engine> engine,
                                                              const std::string& cores) {
  std::vector<std::unique_ptr<Engine>> engines;
  engines.push_back(std::move(engine));
  auto threads = start_shared(std::move(engines), cores);
  if (!threads.ok()) return threads.status();
  return std::move(threads->front());
}

}  // namespace sluice
