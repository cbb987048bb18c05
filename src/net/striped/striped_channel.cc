#include "src/net/striped/striped_channel.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "src/base/check.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/net/tcp/helper_thread.h"

namespace sluice {

StripedChannel::StripedChannel(std::vector<Fd> sockets, StripedOptions options)
    : options_(std::move(options)) {
  for (Fd& socket : sockets) {
    stripes_.push_back(std::make_unique<Stripe>());
    stripes_.back()->socket = std::move(socket);
  }
}

Status StripedChannel::start() {
  for (std::size_t i = 0; i < stripes_.size(); ++i) {
    Stripe& stripe = *stripes_[i];
    Result<std::thread> started = start_helper(fmt::format("{}.{}", options_.thread_name, i),
                                               [this, &stripe] { run(stripe); });
    if (!started.ok()) return started.status();
    stripe.helper = started.take();
  }
  return {};
}

void StripedChannel::stop() {
  {
    const Lock lock(mutex_);
    ending_ = true;
    const bool moving = std::any_of(stripes_.begin(), stripes_.end(),
                                    [](const auto& stripe) { return stripe->taken; });
    // A sender with nothing under way leaves what the kernel has to the kernel.
    if (moving || unfinished_ > 0) shut_down();
    work_.fetch_add(1, std::memory_order_relaxed);
    for (const auto& stripe : stripes_) stripe->wake.notify_one();
  }
  for (const auto& stripe : stripes_) {
    if (stripe->helper.joinable()) stripe->helper.join();
  }
}

PostAnswer StripedChannel::post(std::byte* at_byte, std::uint64_t bytes, std::uint32_t& place) {
  if (failed_.load(std::memory_order_acquire)) return PostAnswer::kFailed;
  Message& message = at(posted_);  // Only this thread writes posted_.
  if (message.taken) return PostAnswer::kBusy;
  place = static_cast<std::uint32_t>(posted_ % kMostInFlight);
  ++in_flight_;
  Lock lock(mutex_);
  message.at = at_byte;
  message.bytes = bytes;
  message.total = bytes;
  message.claimed = 0;
  message.moved = 0;
  message.number = posted_;
  message.announced = false;
  message.taken = true;
  message.finished.store(false, std::memory_order_relaxed);
  ++posted_;
  ++unfinished_;
  unfinished_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  work_.fetch_add(1, std::memory_order_relaxed);
  posted(message, lock);
  return PostAnswer::kPosted;
}

TestAnswer StripedChannel::test(std::uint32_t place, std::uint64_t& bytes) {
  Message& message = ring_.at(place);
  SLUICE_CHECK(message.taken, "{}: nothing is posted in place {}", options_.name, place);
  if (!message.finished.load(std::memory_order_acquire)) {
    // First: what was finished before the channel failed is Done, not Failed.
    const bool failed = failed_.load(std::memory_order_acquire);
    if (!failed) poll();
    if (!message.finished.load(std::memory_order_acquire)) {
      return failed ? TestAnswer::kFailed : TestAnswer::kPending;
    }
  }
  bytes = message.total;
  message.taken = false;
  --in_flight_;
  return TestAnswer::kDone;
}

void StripedChannel::withdraw(std::span<const std::byte> memory) {
  Lock lock(mutex_);
  const std::byte* end = memory.data() + memory.size();
  const bool used = std::any_of(ring_.begin(), ring_.end(), [&](const Message& message) {
    return !message.finished.load(std::memory_order_relaxed) && message.at < end &&
           memory.data() < message.at + message.bytes;
  });
  if (!used) return;
  fail({StatusCode::kClosed, "memory of a message under way was deregistered"});
  untaken_.wait(lock, [this] {
    return std::none_of(stripes_.begin(), stripes_.end(),
                        [](const auto& stripe) { return stripe->taken; });
  });
}

Status StripedChannel::failure() const {
  const Lock lock(mutex_);
  return failure_;
}

Move StripedChannel::drive(Stripe& stripe, Lock& lock, Wait wait) {
  if (!begin(stripe)) return Move::kFailed;
  stripe.taken = true;
  lock.unlock();
  const Move moved = move(stripe, wait);
  lock.lock();
  stripe.taken = false;
  if (moved == Move::kAll) finish(stripe);
  if (moved == Move::kFailed) fail(stripe.failure);
  if (dead()) untaken_.notify_all();
  return moved;
}

void StripedChannel::wake_helpers(std::size_t most) {
  for (const auto& stripe : stripes_) {
    if (most == 0) return;
    if (!stripe->asleep || !can_move(*stripe)) continue;
    stripe->asleep = false;
    stripe->wake.notify_one();
    --most;
  }
}

void StripedChannel::chunk_through(Stripe& stripe) {
  Message& message = *stripe.message;
  stripe.message = nullptr;
  message.moved += stripe.chunk.length;
  if (message.moved < message.total) return;
  --unfinished_;
  unfinished_bytes_.fetch_sub(message.bytes, std::memory_order_relaxed);
  // Last: the data thread may post in this place from now on.
  message.finished.store(true, std::memory_order_release);
}

void StripedChannel::fail(Status failure) {
  if (dead()) return;
  failure_ = std::move(failure);
  SLUICE_LOG(kWarning, "striped", "channel {}: {}", options_.name, failure_.to_string());
  failed_.store(true, std::memory_order_release);
  shut_down();
}

void StripedChannel::shut_down() {
  for (const auto& stripe : stripes_) ::shutdown(stripe->socket.get(), SHUT_RDWR);
}

void StripedChannel::run(Stripe& stripe) {
  Lock lock(mutex_);
  bool worked = false;
  while (wait_for_work(stripe, lock, worked)) {
    drive(stripe, lock, Wait::kYes);
    worked = true;
  }
}

// False: to end.
bool StripedChannel::wait_for_work(Stripe& stripe, Lock& lock, bool may_spin) {
  may_spin = may_spin && options_.spin_us > 0;
  while (!ending_) {
    const bool alive = !failed_.load(std::memory_order_relaxed);
    if (alive && !stripe.taken && wants_helper() && can_move(stripe)) return true;
    if (alive && may_spin) {
      may_spin = spin_for_work(lock);
      continue;
    }
    stripe.asleep = true;
    stripe.wake.wait(lock);
    stripe.asleep = false;
  }
  return false;
}

// sched_yield() leaves the core to whoever wants it; a pause loop would not. True: something has
// changed.
bool StripedChannel::spin_for_work(Lock& lock) {
  const std::uint64_t seen = work_.load(std::memory_order_relaxed);
  lock.unlock();
  const SystemClock clock;
  const Nanoseconds until = clock.now() + from_us(options_.spin_us);
  bool changed = false;
  do {
    ::sched_yield();
    changed = work_.load(std::memory_order_relaxed) != seen;
  } while (!changed && clock.now() < until);
  lock.lock();
  return changed;
}

}  // namespace sluice
