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
    Letter letter{&call, false};
    std::unique_lock lock(mutex_);
    mailbox_.push_back(&letter);
    has_mail_.store(true);
    lock.unlock();
    engine_->interrupt();
    lock.lock();
    answered_.wait(lock, [&] { return letter.done; });
  }

  std::size_t poll(std::span<Completion> out, std::chrono::microseconds limit) override {
    return take(completions_, out, limit);
  }
  std::size_t poll_peers(std::span<PeerEvent> out, std::chrono::microseconds limit) override {
    return take(peer_events_, out, limit);
  }

 private:
  struct Letter {
    const std::function<void(Engine&)>* call;
    bool done;
  };
  template <typename Item>
  struct Tray {
    std::deque<Item> items;
    std::atomic<std::size_t> count{0};  // Of items, to look at without the mutex.
  };

  template <typename Item>
  std::size_t take(Tray<Item>& tray, std::span<Item> out, std::chrono::microseconds limit) {
    // A short yielding look first: what is about to come then costs no sleep and no wake-up.
    const auto start = std::chrono::steady_clock::now();
    const auto spin_end = start + std::min(limit, kSpin);
    while (tray.count.load(std::memory_order_acquire) == 0 &&
           std::chrono::steady_clock::now() < spin_end) {
      sched_yield();
    }
    std::unique_lock lock(mutex_);
    if (limit.count() > 0) {
      delivered_.wait_until(lock, start + limit, [&] { return !tray.items.empty(); });
    }
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
    std::vector<Letter*> letters;
    {
      const std::lock_guard lock(mutex_);
      letters.swap(mailbox_);
      has_mail_.store(false);
    }
    for (Letter* letter : letters) (*letter->call)(*engine_);
    const std::lock_guard lock(mutex_);
    for (Letter* letter : letters) letter->done = true;
    answered_.notify_all();
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
    delivered_.notify_all();
    return true;
  }

  static constexpr std::chrono::microseconds kSpin{50};

  std::unique_ptr<Engine> engine_;
  std::atomic<bool> has_mail_{false};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;  // Guards all below.
  std::condition_variable answered_;
  std::condition_variable delivered_;
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
