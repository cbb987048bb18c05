#include "tests/sim_net/sim_world.h"

#include <algorithm>

#include "src/base/check.h"

namespace sluice::sim {
namespace {

constexpr std::uint64_t kMix = 0x9e3779b97f4a7c15;

}  // namespace

SimOptions draw_options(std::uint64_t seed) {
  std::mt19937_64 random(seed * kMix + 1);
  const auto draw = [&](std::uint64_t below) { return random() % below; };
  SimOptions options;
  options.seed = seed;
  if (draw(3) == 0) options.largest_chunk = (64 << 10) + draw(512 << 10);
  options.chunk_delay = static_cast<Nanoseconds>(draw(4) == 0 ? 0 : draw(200'000));
  options.busy_percent = draw(2) == 0 ? 0 : static_cast<std::uint32_t>(draw(60));
  options.buffered_chunks = static_cast<std::uint32_t>(draw(5));
  options.poll_only = draw(4) == 0;
  options.late_wake = draw(2) == 0;
  options.close_loses = draw(3) == 0;
  options.delivery = draw(2) == 0 ? Delivery::kInPlace : Delivery::kFragments;
  options.pool_bytes = (5 + draw(16)) << 20;
  options.page_bytes = 4096u << draw(2);
  options.gpu_delay = static_cast<Nanoseconds>(draw(2) == 0 ? 0 : draw(500'000));
  options.most_in_flight = draw(3) == 0 ? 1 + static_cast<std::uint32_t>(draw(16)) : 16;
  options.make_delay = static_cast<Nanoseconds>(draw(2) == 0 ? 0 : draw(5'000'000));
  options.control_delay = static_cast<Nanoseconds>(draw(4) == 0 ? 0 : draw(300'000));
  options.short_io_percent = draw(2) == 0 ? 0 : static_cast<std::uint32_t>(draw(101));
  options.control_buffer_bytes = draw(4) == 0 ? 256 + draw(4096) : 64 << 10;
  options.takes_remainders = draw(3) > 0;
  return options;
}

SimActor::SimActor(SimWorld& world) : world_(world), id_(world.enter(*this)) {}
SimActor::~SimActor() { world_.leave(id_); }

SimWorld::SimWorld(const SimOptions& options) : options_(options), random_(options.seed) {
  SLUICE_CHECK(options.busy_percent <= 90, "busy_percent {}", options.busy_percent);
  events_.reserve(4096);
  actors_.reserve(1024);
}

SimWorld::~SimWorld() { SLUICE_CHECK(actors_alive_ == 0, "{} parts outlive it", actors_alive_); }

SimHost SimWorld::add_host() {
  SLUICE_CHECK(hosts_.size() < 250, "hosts {}", hosts_.size());
  hosts_.emplace_back();
  hosts_.back().number = static_cast<std::uint32_t>(hosts_.size());
  return static_cast<SimHost>(hosts_.size() - 1);
}

SimHost SimWorld::restart(SimHost killed) {
  SLUICE_CHECK(!alive(killed), "host {} is alive", address(killed));
  const SimHost anew = add_host();
  at(anew).number = at(killed).number;
  return anew;
}

std::string SimWorld::address(SimHost host) const {
  return fmt::format("10.0.0.{}", at(host).number);
}

Result<SimHost> SimWorld::find_host(std::string_view address) const {
  for (std::size_t i = hosts_.size(); i-- > 0;) {
    if (this->address(static_cast<SimHost>(i)) == address) return static_cast<SimHost>(i);
  }
  return Status(StatusCode::kNotFound, fmt::format("no simulated host {}", address));
}

void SimWorld::kill(SimHost host) {
  at(host).alive = false;
  wake_all();
}

void SimWorld::stop(SimHost host) { at(host).stopped = true; }

void SimWorld::resume(SimHost host) {
  at(host).stopped = false;
  wake_all();
}

void SimWorld::cut(SimHost a, SimHost b) {
  cuts_.emplace_back(a, b);
  cuts_.emplace_back(b, a);
}

void SimWorld::heal(SimHost a, SimHost b) {
  std::erase(cuts_, std::pair(a, b));
  std::erase(cuts_, std::pair(b, a));
  wake_all();
}

bool SimWorld::passes(SimHost a, SimHost b) const {
  return std::find(cuts_.begin(), cuts_.end(), std::pair(a, b)) == cuts_.end();
}

Nanoseconds SimWorld::next_event() const {
  return events_.empty() ? INT64_MAX : events_.front().time;
}

bool SimWorld::later(const Event& a, const Event& b) {
  return std::pair(a.time, a.sequence) > std::pair(b.time, b.sequence);
}

bool SimWorld::run_next() {
  if (events_.empty()) return false;
  std::pop_heap(events_.begin(), events_.end(), later);
  const Event event = events_.back();
  events_.pop_back();
  if (event.time > now()) clock_.advance(event.time - now());
  digest_ = (digest_ ^ event.actor ^ static_cast<std::uint64_t>(now())) * kMix;
  if (SimActor* actor = find(event.actor)) actor->step();
  return true;
}

void SimWorld::run_until(Nanoseconds time) {
  while (next_event() <= time) run_next();
  if (time > now()) clock_.advance(time - now());
}

std::uint64_t SimWorld::draw(std::uint64_t below) { return below == 0 ? 0 : random_() % below; }

Nanoseconds SimWorld::soon(Nanoseconds longest) {
  return now() + static_cast<Nanoseconds>(draw(static_cast<std::uint64_t>(longest) + 1));
}

void SimWorld::wake(ActorId actor, Nanoseconds time) {
  events_.push_back({time, ++events_made_, actor});
  std::push_heap(events_.begin(), events_.end(), later);
}

void SimWorld::wake_all() {
  for (const SimActor* actor : actors_) {
    if (actor != nullptr) wake(actor->id(), now());
  }
}

SimActor* SimWorld::find(ActorId actor) const {
  return actor == 0 || actor > actors_.size() ? nullptr : actors_[actor - 1];
}

ActorId SimWorld::enter(SimActor& actor) {
  actors_.push_back(&actor);
  ++actors_alive_;
  return actors_.size();
}

void SimWorld::leave(ActorId actor) {
  actors_[actor - 1] = nullptr;
  --actors_alive_;
}

bool SimWorld::bind(SimHost host, std::uint16_t port, ActorId actor) {
  return ports_.try_emplace({host, port}, actor).second;
}

ActorId SimWorld::bound(SimHost host, std::uint16_t port) const {
  const auto found = ports_.find({host, port});
  return found == ports_.end() ? 0 : found->second;
}

}  // namespace sluice::sim
