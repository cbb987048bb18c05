// A world of simulated hosts in one process and one thread: a clock that only moves when told to, a
// queue of what happens next, and a random generator. SimNet and SimControlNet are what an engine
// sees of it.
//
//   SimWorld world(draw_options(seed));
//   const SimHost left = world.add_host(), right = world.add_host();
//   SimNet net(world, left);  SimControlNet control(world, left);  ...
//   while (not finished) { progress of every engine; world.run_next(); }
//
// The world outlives everything that was made in it. Nothing allocates in steady state.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sluice/status.h"
#include "src/base/clock.h"
#include "tests/sim_net/sim_options.h"

namespace sluice::sim {

enum class SimHost : std::uint32_t {};
using ActorId = std::uint64_t;  // Never 0, never reused.

// Something that changes with time: a data link, a control connection, a listener.
class SimActor {
 public:
  explicit SimActor(class SimWorld& world);
  virtual ~SimActor();
  SimActor(const SimActor&) = delete;
  SimActor& operator=(const SimActor&) = delete;

  // Does what is due by now. Called at every time that was asked for with SimWorld::wake(), and
  // possibly in between.
  virtual void step() = 0;

  [[nodiscard]] ActorId id() const { return id_; }

 protected:
  SimWorld& world_;

 private:
  ActorId id_;
};

class SimWorld {
 public:
  explicit SimWorld(const SimOptions& options);
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  SimHost add_host();
  // A host that takes over the address of a killed one: started anew.
  SimHost restart(SimHost killed);
  [[nodiscard]] std::string address(SimHost host) const;  // "10.0.0.1" for the first.
  // The last one with that address. kNotFound: no such host.
  [[nodiscard]] Result<SimHost> find_host(std::string_view address) const;

  // What happens to hosts.
  void kill(SimHost host);  // At once: its memory is not touched again, its peers see it fail.
  void stop(SimHost host);  // It does not answer; its kernel still takes control bytes.
  void resume(SimHost host);
  void cut(SimHost a, SimHost b);  // Nothing passes between them, and nobody is told.
  void heal(SimHost a, SimHost b);
  [[nodiscard]] bool alive(SimHost host) const { return at(host).alive; }
  [[nodiscard]] bool stopped(SimHost host) const { return at(host).stopped; }
  [[nodiscard]] bool passes(SimHost a, SimHost b) const;  // False while the link is cut.

  // Time.
  [[nodiscard]] const ManualClock& clock() const { return clock_; }
  [[nodiscard]] Nanoseconds now() const { return clock_.now(); }
  [[nodiscard]] bool quiet() const { return events_.empty(); }  // Nothing will happen by itself.
  [[nodiscard]] Nanoseconds next_event() const;                 // INT64_MAX when quiet.
  // Moves the clock to the next event and lets it happen. False when quiet.
  bool run_next();
  // Lets happen everything up to `time`, and moves the clock there.
  void run_until(Nanoseconds time);
  // A number that depends on everything that has happened: equal for equal runs.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

  // Called while a host sleeps, so that the others go on; must not sleep itself.
  void set_background(std::function<void(SimHost sleeper)> run) { background_ = std::move(run); }
  void run_background(SimHost sleeper) const {
    if (background_) background_(sleeper);
  }

  // For the parts of the simulation.
  [[nodiscard]] const SimOptions& options() const { return options_; }
  [[nodiscard]] std::uint64_t draw(std::uint64_t below);  // 0 to below - 1; 0 for 0.
  [[nodiscard]] bool chance(std::uint32_t percent) { return draw(100) < percent; }
  // A time after now by 0 to `longest`.
  [[nodiscard]] Nanoseconds soon(Nanoseconds longest);
  void wake(ActorId actor, Nanoseconds time);
  [[nodiscard]] SimActor* find(ActorId actor) const;
  // A channel is to break: false when as many as may have done so.
  [[nodiscard]] bool may_break() { return failures_ < options_.most_failures && ++failures_ > 0; }
  [[nodiscard]] std::uint32_t failures() const { return failures_; }
  // Ports of control listeners.
  [[nodiscard]] bool bind(SimHost host, std::uint16_t port, ActorId actor);
  void unbind(SimHost host, std::uint16_t port) { ports_.erase({host, port}); }
  [[nodiscard]] ActorId bound(SimHost host, std::uint16_t port) const;  // 0: nobody listens.

 private:
  friend class SimActor;
  struct Event {
    Nanoseconds time;
    std::uint64_t sequence;
    ActorId actor;
  };
  struct Host {
    bool alive = true;
    bool stopped = false;
    std::uint32_t number = 0;  // In its address.
  };
  static bool later(const Event& a, const Event& b);
  [[nodiscard]] const Host& at(SimHost host) const {
    return hosts_[static_cast<std::size_t>(host)];
  }
  Host& at(SimHost host) { return hosts_[static_cast<std::size_t>(host)]; }
  ActorId enter(SimActor& actor);
  void leave(ActorId actor);
  void wake_all();

  SimOptions options_;
  ManualClock clock_;
  std::mt19937_64 random_;
  std::uint32_t failures_ = 0;  // Channels that broke.
  std::uint64_t digest_ = 0;
  std::vector<Host> hosts_;
  std::vector<std::pair<SimHost, SimHost>> cuts_;
  std::vector<Event> events_;  // A heap, soonest first.
  std::uint64_t events_made_ = 0;
  std::vector<SimActor*> actors_;  // By id - 1; nullptr once gone.
  std::size_t actors_alive_ = 0;
  std::map<std::pair<SimHost, std::uint16_t>, ActorId> ports_;
  std::function<void(SimHost)> background_;
};

}  // namespace sluice::sim
