#include "tools/mesh/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "src/base/cores.h"
#include "src/engine/secret.h"
#include "tools/perf/client.h"
#include "tools/perf_common.h"
#include "tools/stop.h"

namespace sluice::mesh {
namespace {

// A link that flaps: connections that are there survive it, new ones are refused meanwhile.
constexpr std::chrono::seconds kUnreachable{10};
constexpr std::chrono::milliseconds kRetry{300};

Memory memory_at(const EnginePlace& place) {
  return place.gpu >= 0 ? Memory::kCuda : Memory::kHost;
}

// The server that `announced` names, reached as the file of hosts says: an engine knows its own
// address only as one network sees it.
Result<std::string> reach(const std::string& announced, const std::string& host) {
  const auto server = Address::parse(announced);
  if (!server.ok()) return server.status();
  const auto resolved = make_address(host, server->port, "");
  if (!resolved.ok()) return resolved.status();
  auto address = Address::parse(*resolved);
  if (!address.ok()) return address.status();
  address->secret = server->secret;
  return address->to_string();
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(WorkerOptions options) {
  const auto plan = perf::make_plan(options.in_force.perf(), false);
  if (!plan.ok()) return plan.status();
  if (options.places.size() > kMostEngines) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{} engines, {} is the most of a host in a mesh",
                              options.places.size(), kMostEngines));
  }
  std::unique_ptr<Worker> worker(new Worker(std::move(options), *plan));
  if (Status status = worker->start_servers(); !status.ok()) return status;
  return worker;
}

Status Worker::start_servers() {
  Options base = tools::server_options(options_.in_force.options(), options_.in_force, true);
  base.listen_port = 0;
  base.allow_anyone = 0;
  base.token.clear();
  const auto interrupted = [this] { return stopping_.load() || tools::stop_requested(); };
  for (std::uint32_t i = 0; i < options_.places.size(); ++i) {
    const EnginePlace& place = options_.places[i];
    auto server =
        perf::Server::create({.engine = options_at(base, place, i),
                              .cpu_share = 1.0 / static_cast<double>(options_.places.size()),
                              .memory = memory_at(place),
                              .interrupted = interrupted,
                              .say = [](const std::string&) {}});
    if (!server.ok()) return server.status().with_context(place.name);
    servers_.push_back(server.take());
    engines_.push_back({place.name, place.nic, servers_.back()->address()});
  }
  serving_ = std::make_unique<perf::Crew>(
      static_cast<std::uint32_t>(servers_.size()), [this](std::uint32_t i) {
        if (Status status = run_on_cores(options_.places[i].cores); !status.ok()) return status;
        return servers_[i]->serve();
      });
  return {};
}

Worker::~Worker() { stopping_ = true; }

void Worker::start(const Task& task) {
  auto measurement = std::make_unique<Measurement>();
  Measurement* one = measurement.get();
  one->task = task;
  one->outcome.id = task.id;
  one->crew = std::make_unique<perf::Crew>(1, [this, one](std::uint32_t) {
    const Status status = measure(one->task, one->outcome);
    if (!status.ok()) one->outcome.why = status.to_string();
    return status;
  });
  running_.push_back(std::move(measurement));
}

Status Worker::measure(const Task& task, Outcome& outcome) {
  if (task.engine >= options_.places.size() || task.to >= options_.hosts.size()) {
    return {StatusCode::kInvalidArgument,
            fmt::format("no engine {} or host {} here", task.engine, task.to)};
  }
  const EnginePlace& place = options_.places[task.engine];
  if (Status status = run_on_cores(place.cores); !status.ok()) return status;
  const std::string& host = options_.hosts[task.to];
  const auto address = reach(task.address, host);
  if (!address.ok()) return address.status();
  const auto start = std::chrono::steady_clock::now();
  const auto late = [&] { return std::chrono::steady_clock::now() > start + options_.limit; };
  const auto over = [&] { return stopping_.load() || tools::stop_requested() || late(); };
  const auto connect = [&] {
    return perf::Client::connect(
        {.engine = options_at(options_.in_force.options(), place, task.engine),
         .cpu_share = 1.0 / static_cast<double>(options_.places.size()),
         .memory = memory_at(place),
         .address = *address,
         .server = "server " + host,
         .interrupted = over,
         .on_busy_server = [] {}});
  };
  auto client = connect();
  while (client.status().code() == StatusCode::kUnavailable && !over() &&
         std::chrono::steady_clock::now() < start + kUnreachable) {
    std::this_thread::sleep_for(kRetry);
    client = connect();
  }
  Status status = client.status();
  for (std::size_t i = 0; i < plan_.sizes.size() && status.ok(); ++i) {
    const auto row = (*client)->measure(plan_.sizes[i], plan_, [](perf::Phase) {});
    status = row.status();
    if (!row.ok()) break;
    // The largest size tells bandwidth, the smallest latency.
    if (plan_.sizes[i] == *std::max_element(plan_.sizes.begin(), plan_.sizes.end())) {
      outcome.gbytes_per_s = row->gbytes_per_s;
    }
    if (plan_.sizes[i] == *std::min_element(plan_.sizes.begin(), plan_.sizes.end())) {
      outcome.p50_us = row->p50_us;
      outcome.p99_us = row->p99_us;
    }
  }
  if (status.code() != StatusCode::kClosed || !late()) return status;
  return {StatusCode::kTimedOut,
          fmt::format("not finished within {} s", options_.limit.count() / 1000)};
}

std::vector<Outcome> Worker::take_outcomes() {
  std::vector<Outcome> outcomes;
  std::erase_if(running_, [&](const std::unique_ptr<Measurement>& one) {
    if (!one->crew->ended()) return false;
    (void)one->crew->outcome();  // Joined; the outcome has it.
    outcomes.push_back(std::move(one->outcome));
    return true;
  });
  return outcomes;
}

}  // namespace sluice::mesh
