// A mailbox around an engine: the only mutex of the library besides the logger's.
#include "sluice/progress_thread.h"

#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace sluice {
namespace {

class MailboxThread final : public ProgressThread {
 public:
  explicit MailboxThread(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {
    thread_ = std::thread([this] { loop(); });
    pthread_setname_np(thread_.native_handle(), "sluice-engine");
  }

  ~MailboxThread() override {
    stopping_.store(true);
    engine_->interrupt();
    thread_.join();
  }

  void run(const std::function<void(Engine&)>& call) override {
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

  std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) override {
    return take(completions_, out, limit);
  }
  std::size_t poll_peers(std::span<PeerEvent> out, std::chrono::microseconds limit) override {
    return take(peer_events_, out, limit);
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
    explicit Sleeper(MailboxThread& owner) : lock(owner.mutex_), thread(owner) {
      ++thread.sleepers_;
    }
    ~Sleeper() { --thread.sleepers_; }
    std::unique_lock<std::mutex> lock;
    MailboxThread& thread;
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

  void loop() {
    while (!stopping_.load(std::memory_order_relaxed)) {
      if (has_mail_.load(std::memory_order_relaxed)) read_mail();
      const std::size_t steps = engine_->progress();
      if (deliver() || steps > 0) continue;
      engine_->wait(std::chrono::seconds(1));
      deliver();
    }
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

  bool deliver() {
    std::array<Completion, 64> completions;
    std::array<PeerEvent, 8> events;
    const std::size_t completed = engine_->poll(completions);
    const std::size_t happened = engine_->poll_peers(events);
    if (completed + happened == 0) return false;
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < completed; ++i) {
      completions_.items.push_back(std::move(completions[i]));
    }
    for (std::size_t i = 0; i < happened; ++i) peer_events_.items.push_back(std::move(events[i]));
    completions_.count.store(completions_.items.size(), std::memory_order_release);
    peer_events_.count.store(peer_events_.items.size(), std::memory_order_release);
    if (sleepers_ > 0) delivered_.notify_all();
    return true;
  }

  // As long as a sleep and a wake-up of an idle core may take (docs/performance.md).
  static constexpr std::chrono::microseconds kSpin{100};

  std::unique_ptr<Engine> engine_;
  std::atomic<bool> has_mail_{false};
  std::atomic<bool> stopping_{false};
  std::vector<Letter*> reading_;  // The engine thread's, kept for its memory.
  std::mutex mutex_;              // Guards all below.
  std::condition_variable answered_;
  std::condition_variable delivered_;
  int sleepers_ = 0;
  std::vector<Letter*> mailbox_;
  Tray<Completion> completions_;
  Tray<PeerEvent> peer_events_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<ProgressThread>> ProgressThread::start(std::unique_ptr<Engine> engine) {
  if (engine == nullptr) return Status(StatusCode::kInvalidArgument, "no engine");
  return std::unique_ptr<ProgressThread>(std::make_unique<MailboxThread>(std::move(engine)));
}

}  // namespace sluice
