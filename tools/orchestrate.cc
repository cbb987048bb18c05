#include "tools/orchestrate.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "src/base/cores.h"
#include "src/orchestrator/orchestrator.h"
#include "tools/perf/crew.h"
#include "tools/perf/memory.h"
#include "tools/perf/server.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

Memory memory_at(const EnginePlace& place) {
  return place.gpu >= 0 ? Memory::kCuda : Memory::kHost;
}

// nullptr where the callers drive.
Result<std::unique_ptr<Orchestrator>> start_engines(const Options& engine,
                                                    const std::vector<EnginePlace>& places,
                                                    Drive drive) {
  if (drive == Drive::kCaller) return std::unique_ptr<Orchestrator>();
  return Orchestrator::start(engine, places, drive == Drive::kOwn ? Threads::kOwn : Threads::kOne);
}

// The clients of one measurement, with a thread each. The engines are the orchestrator's, or, where
// the callers drive, made by the clients.
class OrchestratedMembers final : public Members {
 public:
  OrchestratedMembers(perf::Ensemble& ensemble, const InForce& in_force, const ManyOptions& options,
                      const std::vector<EnginePlace>& places, const std::vector<Target>& targets)
      : ensemble_(ensemble),
        in_force_(in_force),
        options_(options),
        places_(places),
        targets_(targets) {}

  Status start(Drive drive) {
    const Options engine = perf::client_engine_options(in_force_.options());
    auto engines = start_engines(engine, places_, drive);
    if (!engines.ok()) return engines.status();
    engines_ = engines.take();
    crew_ = std::make_unique<perf::Crew>(ensemble_.members(), [this](std::uint32_t member) {
      Status status = measure(member);
      if (!status.ok()) ensemble_.give_up();
      return status.with_context(places_[member].name);
    });
    return {};
  }
  bool ended() override { return crew_->ended(); }
  Status outcome() override { return crew_->outcome(); }

 private:
  Status measure(std::uint32_t member) {
    const EnginePlace& place = places_[member];
    if (Status status = run_on_cores(place.cores); !status.ok()) return status;
    const auto plan = plan_of(in_force_, options_.measure);
    if (!plan.ok()) return plan.status();
    auto client = perf::Client::connect(
        {.engine = options_at(in_force_.options(), place, member),
         .present = engines_ == nullptr ? nullptr : &engines_->engine(member),
         .cpu_share = 1.0 / ensemble_.members(),
         .ensemble = &ensemble_,
         .member = member,
         .memory = memory_at(place),
         .address = targets_[member].address,
         .server = server_name(targets_[member]),
         .interrupted = [this] { return stop_requested() || ensemble_.given_up(); },
         .on_busy_server = say_that_it_waits});
    if (!client.ok()) return client.status();
    for (const std::uint64_t size : plan->sizes) {
      const auto row = (*client)->measure(size, *plan, [](perf::Phase) {});
      if (!row.ok()) return row.status();
      ensemble_.add_row(member, *row);
    }
    return {};
  }

  perf::Ensemble& ensemble_;
  const InForce in_force_;
  const ManyOptions& options_;
  const std::vector<EnginePlace>& places_;
  const std::vector<Target>& targets_;
  std::unique_ptr<Orchestrator> engines_;
  std::unique_ptr<perf::Crew> crew_;  // Joined before the engines end.
};

void say_hello(const Options& engine, const std::vector<EnginePlace>& places, Drive drive) {
  print(
      fmt::format("sluice orchestrate server: {} engines, ports {} to {} on {}, net {}, at most "
                  "{} channels each, {} memory, driven by: {}",
                  places.size(), engine.listen_port, engine.listen_port + places.size() - 1,
                  engine.listen_host.empty() ? "all interfaces" : engine.listen_host, engine.net,
                  engine.channels, memory_of(places), to_string(drive)));
  warn_without_token(engine);
}

}  // namespace

const char* to_string(Drive drive) {
  if (drive == Drive::kOwn) return "own";
  return drive == Drive::kOne ? "one" : "caller";
}

int orchestrate_server(const InForce& in_force, const std::vector<EnginePlace>& places,
                       const OrchestratedServer& options) {
  const bool quiet = options.announce_fd >= 0;
  const Options base = server_options(in_force.options(), in_force, quiet);
  if (const Status status = validate(base); !status.ok()) return usage(status);
  const Status ports = check_ports(base.listen_port, places.size());
  if (!ports.ok()) return usage(ports);
  const auto engines = start_engines(base, places, options.drive);
  if (!engines.ok()) return exit_status(engines.status());
  std::vector<std::unique_ptr<perf::Server>> servers;
  std::string addresses;
  for (std::uint32_t i = 0; i < places.size(); ++i) {
    const auto say = [quiet, name = places[i].name](const std::string& line) {
      if (!quiet) print(name + " " + line);
    };
    auto server =
        perf::Server::create({.engine = options_at(base, places[i], i),
                              .present = *engines == nullptr ? nullptr : &(*engines)->engine(i),
                              .cpu_share = 1.0 / static_cast<double>(places.size()),
                              .memory = memory_at(places[i]),
                              .interrupted = stop_requested,
                              .say = say});
    if (!server.ok()) return exit_status(server.status().with_context(places[i].name));
    servers.push_back(server.take());
    addresses += servers.back()->address() + "\n";
  }
  if (!quiet) {
    say_hello(base, places, options.drive);
  } else if (const Status status = announce(options.announce_fd, addresses); !status.ok()) {
    return exit_status(status);
  }
  perf::Crew crew(static_cast<std::uint32_t>(places.size()), [&](std::uint32_t i) {
    if (Status status = run_on_cores(places[i].cores); !status.ok()) return status;
    return options.once ? servers[i]->serve_one() : servers[i]->serve();
  });
  const Status status = crew.outcome();
  return stop_requested() ? kDone : exit_status(status);
}

int orchestrate_client(const std::vector<Target>& targets, const InForce& in_force,
                       const ManyOptions& options, const std::vector<EnginePlace>& places,
                       Drive drive) {
  const Target all{"", fmt::format("{}, {} engines in one process, driven by: {}",
                                   targets.front().name, places.size(), to_string(drive))};
  return measure_many(
      "orchestrate", all, in_force, options, places,
      [&](perf::Ensemble& ensemble, const InForce& one) -> Result<std::unique_ptr<Members>> {
        auto members =
            std::make_unique<OrchestratedMembers>(ensemble, one, options, places, targets);
        if (Status status = members->start(drive); !status.ok()) return status;
        return std::unique_ptr<Members>(std::move(members));
      });
}

Status check_ports(std::uint16_t first, std::size_t engines) {
  constexpr std::size_t kLastPort = 65535;
  if (first + engines <= kLastPort + 1) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("--port {}: {} engines take ports from there on, and {} is the last", first,
                      engines, kLastPort)};
}

Result<std::vector<Target>> make_targets(const std::string& host, const InForce& in_force,
                                         std::size_t count) {
  std::vector<Target> targets;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t port = in_force.perf().perf_port + i;
    InForce one = in_force;
    Status status = one.set("perf_port", std::to_string(port), "--port");
    if (!status.ok()) return status;
    Result<Target> target = make_target(host, one);
    if (!target.ok()) return target.status();
    targets.push_back(target.take());
  }
  return targets;
}

}  // namespace sluice::tools
