// How an engine spends the time until there is work: wait(), and arm() for callers that wait for
// several engines.
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <limits>

#include "src/engine/engine_impl.h"

namespace sluice {
namespace {

// Of an engine while chunks are in the Net; the shortest one if the Net cannot wake it.
constexpr Nanoseconds kLongestSleep = from_ms(1);
constexpr Nanoseconds kShortestSleep = from_us(50);
// What comes faster comes while wait() still spins.
constexpr std::uint64_t kBytesPerNanosecond = 8;

}  // namespace

Nanoseconds EngineImpl::sleep_limit(Nanoseconds now) {
  // Nothing wakes us when a Gpu is done, and it soon is.
  if (batch_.pending(*gpu_) || packs_.pending(*gpu_) || sums_.pending(*gpu_)) return 0;
  Nanoseconds next_time = next_time_;
  bool moves = false;
  std::uint64_t bytes = 0;
  for (const Peer* peer : awake_) {
    next_time = std::min(next_time, peer->next_deadline());
    if (peer->chunks_in_flight() || peer->making_channels() || peer->failed() || peer->doubted()) {
      moves = true;
      bytes += peer->bytes_in_net();
    }
  }
  const Nanoseconds until_time = std::max<Nanoseconds>(next_time - now, 0);
  if (!moves) return until_time;
  // A Net wakes us when it is worth it; this bounds what one that waits for more can cost.
  if (net_->wake_fd() >= 0) return std::min(until_time, kLongestSleep);
  // One that cannot is looked at when half of what it has may be through: each look takes a core
  // from it, which it may need.
  const auto half = static_cast<Nanoseconds>(bytes / 2 / kBytesPerNanosecond);
  return std::min(until_time, std::clamp(half, kShortestSleep, kLongestSleep));
}

EngineImpl::Cadence EngineImpl::cadence_of(const Options& options) {
  if (options.cadence == "spin") return Cadence::kSpin;
  if (options.cadence == "yield") return Cadence::kYield;
  return options.cadence == "sleep" ? Cadence::kSleep : Cadence::kAdapt;
}

// Until when to poll before sleeping, of the time from `start` to `end`.
Nanoseconds EngineImpl::spin_end(Nanoseconds start, Nanoseconds end) const {
  if (cadence_ == Cadence::kSpin || cadence_ == Cadence::kYield) return end;
  if (cadence_ == Cadence::kSleep || !short_gaps_) return start;
  return std::min(end, start + from_us(options_.spin_us));
}

// Spins, then sleeps. Spinning yields the core at every turn: on a machine with few cores the
// thread that makes the work must be able to run. It is left out while it has not paid of late.
void EngineImpl::wait(std::chrono::microseconds limit) {
  const Nanoseconds start = clock_->now();
  const Nanoseconds end = start + std::clamp<Nanoseconds>(limit.count(), 0, 3'600'000'000) * 1000;
  const Nanoseconds spin = from_us(options_.spin_us);
  const Nanoseconds last_turn = spin_end(start, end);
  while (true) {
    if (interrupted_.exchange(false)) return;
    if (progress() > 0) {
      short_gaps_ = clock_->now() - start <= spin;
      return;
    }
    if (clock_->now() >= last_turn) break;
    if (cadence_ != Cadence::kSpin) sched_yield();
  }
  short_gaps_ = false;
  while (clock_->now() < end) {
    look_at_all_next();
    net_->arm();
    sleeping_.store(true);
    const bool interrupted = interrupted_.exchange(false);
    const bool worked = !interrupted && progress() > 0;
    if (!interrupted && !worked) {
      const Nanoseconds now = clock_->now();
      const Nanoseconds most = std::min(sleep_limit(now), end - now);
      control_->sleep(std::chrono::microseconds(std::max<Nanoseconds>(most / 1000, 0)));
      recorder_.slept(now, clock_->now());
      ++counters_.wake_ups;
    }
    sleeping_.store(false);
    net_->disarm();
    if (interrupted || interrupted_.exchange(false)) return;
    if (worked || progress() > 0) {
      short_gaps_ = clock_->now() - start <= spin;
      return;
    }
  }
}

std::chrono::microseconds EngineImpl::arm() {
  constexpr std::chrono::microseconds kNotNow{0};
  if (clock_->now() < spin_end(worked_at_, std::numeric_limits<Nanoseconds>::max())) return kNotNow;
  look_at_all_next();
  net_->arm();
  sleeping_.store(true);
  const bool idle = !interrupted_.load() && progress() == 0;
  const std::chrono::microseconds limit(idle ? sleep_limit(clock_->now()) / 1000 : 0);
  if (limit > kNotNow) return limit;
  stand_down();
  return kNotNow;
}

void EngineImpl::disarm() {
  ++counters_.wake_ups;
  stand_down();
}

void EngineImpl::stand_down() {
  sleeping_.store(false);
  net_->disarm();
  interrupted_.store(false);
  control_->sleep(std::chrono::microseconds(0));  // What interrupt() rang would ring on.
}

EngineCounters EngineImpl::counters() const {
  EngineCounters result = counters_;
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  result.cpu_ns = static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
                  static_cast<std::uint64_t>(time.tv_nsec);
  return result;
}

void EngineImpl::interrupt() {
  interrupted_.store(true);
  if (sleeping_.load()) control_->interrupt();
}

}  // namespace sluice
