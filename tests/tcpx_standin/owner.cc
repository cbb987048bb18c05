#include "tests/tcpx_standin/owner.h"

#include <cstdio>
#include <cstdlib>

namespace sluice::standin {

Owner& Owner::get() {
  static Owner* const owner = new Owner;
  return *owner;
}

std::shared_ptr<BouncePool> Owner::pool(std::uint32_t pages) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<BouncePool> pool = pool_.lock();
  if (pool == nullptr) pool_ = pool = std::make_shared<BouncePool>(pages);
  return pool;
}

void Owner::fill(SluiceStandinCounters& out) {
  std::shared_ptr<BouncePool> pool;
  {
    const std::lock_guard lock(mutex_);
    pool = pool_.lock();
  }
  out.pages_total = pool == nullptr ? 0 : pool->pages();
  out.pages_free = pool == nullptr ? 0 : pool->free_pages();
  out.pages_lost = pool == nullptr ? 0 : pool->lost_pages();
  out.open_send_comms = counters.open_send_comms;
  out.open_recv_comms = counters.open_recv_comms;
  out.open_listen_comms = counters.open_listen_comms;
  out.open_registrations = counters.open_registrations;
  out.most_in_flight_send = counters.most_in_flight_send;
  out.most_in_flight_receive = counters.most_in_flight_receive;
  out.sends_done = counters.sends_done;
  out.receives_done = counters.receives_done;
  out.receives_consumed = counters.receives_consumed;
  out.tests = counters.tests;
  out.tests_not_oldest = counters.tests_not_oldest;
  out.posts_when_full = counters.posts_when_full;
  out.violations = counters.violations;
}

void Owner::remember(const void* object) {
  const std::lock_guard lock(mutex_);
  objects_.insert(object);
}

bool Owner::knows(const void* object) {
  const std::lock_guard lock(mutex_);
  return objects_.contains(object);
}

bool Owner::forget(const void* object) {
  const std::lock_guard lock(mutex_);
  return objects_.erase(object) == 1;
}

bool Owner::first_use_of_port(std::uint16_t port) {
  const std::lock_guard lock(mutex_);
  return ports_.insert(port).second;
}

void raise_to(Counter& most, std::uint64_t value) {
  std::uint64_t before = most;
  while (before < value && !most.compare_exchange_weak(before, value)) {
  }
}

void violation(bool strict, const char* what) {
  ++Owner::get().counters.violations;
  if (strict) crash(what);
}

void crash(const char* what) {
  std::fprintf(stderr, "sluice-standin: contract violated: %s\n", what);
  std::abort();
}

}  // namespace sluice::standin

extern "C" __attribute__((visibility("default"))) void sluice_standin_counters(
    SluiceStandinCounters* counters) {
  sluice::standin::Owner::get().fill(*counters);
}
