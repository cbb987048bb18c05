// `sluice perf multi`: the same engines as `sluice orchestrate`, a process each.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/child_process.h"
#include "tools/commands.h"
#include "tools/measure_many.h"
#include "tools/orchestrate.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

constexpr int kEnsembleFd = 3;  // In a child.

struct State {
  explicit State(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  ManyOptions options;
  std::string host;
  bool progress_thread = false;
};

// What a child is told on its command line, besides `first`.
std::vector<std::string> arguments_for(std::vector<std::string> first, const InForce& in_force,
                                       const EnginePlace& place, bool progress_thread) {
  std::vector<std::string> arguments{"sluice", "perf"};
  arguments.insert(arguments.end(), first.begin(), first.end());
  for (const std::string& assignment : in_force.overrides()) {
    arguments.insert(arguments.end(), {"--set", assignment});
  }
  if (in_force.options().name.empty()) {
    arguments.insert(arguments.end(), {"--set", "name=" + place.name});
  }
  const std::string device = device_at(in_force.options(), place);
  if (in_force.options().device.empty() && !device.empty()) {
    arguments.insert(arguments.end(), {"--set", "device=" + device});
  }
  if (place.gpu >= 0) arguments.insert(arguments.end(), {"--gpu", std::to_string(place.gpu)});
  if (!place.cores.empty()) arguments.insert(arguments.end(), {"--cores", place.cores});
  if (progress_thread) arguments.emplace_back("--progress-thread");
  return arguments;
}

// What is measured, as add_op_options() reads it.
std::vector<std::string> op_arguments(const MeasureOptions& measure) {
  std::vector<std::string> arguments{"--op", perf::to_string(measure.op), "--layout",
                                     perf::to_string(measure.blocks.order)};
  const auto add = [&arguments](const char* name, std::uint64_t number, std::uint64_t unless) {
    if (number != unless) arguments.insert(arguments.end(), {name, std::to_string(number)});
  };
  add("--blocks", measure.blocks.count, 1);
  add("--block-size", measure.blocks.bytes, 0);
  add("--beside", measure.beside, 0);
  if (measure.urgent) arguments.insert(arguments.end(), {"--priority", "urgent"});
  if (measure.both_directions) arguments.emplace_back("--both-directions");
  return arguments;
}

// A token that only this command line has; children are not given it on theirs, which others see.
std::vector<std::string> environment_for(const InForce& in_force) {
  if (in_force.options().token.empty()) return {};
  return {"SLUICE_TOKEN=" + in_force.options().token};
}

class ChildMembers final : public Members {
 public:
  explicit ChildMembers(perf::Ensemble* ensemble) : ensemble_(ensemble) {}
  ~ChildMembers() override {
    for (const Child& child : children_) {
      if (!child.ended) end_process(child.pid);
    }
  }

  Status add(const std::string& name, std::vector<std::string> arguments,
             const std::vector<std::string>& environment) {
    const int fd = ensemble_ == nullptr ? STDERR_FILENO : ensemble_->fd();
    const Result<pid_t> pid = spawn_self(std::move(arguments), fd, kEnsembleFd, environment);
    if (!pid.ok()) return pid.status().with_context(name);
    children_.push_back({name, *pid});
    return {};
  }

  bool ended() override { return all_ended() || !failure_.ok(); }

  Status outcome() override {
    while (!all_ended()) {
      if (failure_.ok() && stop_requested()) failure_ = {StatusCode::kClosed, "interrupted"};
      if (!failure_.ok()) end_rest();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return failure_;
  }

 private:
  struct Child {
    std::string name;
    pid_t pid;
    bool ended = false;
  };

  bool all_ended() {
    bool all = true;
    for (Child& child : children_) {
      if (!child.ended) look_at(child);
      all = all && child.ended;
    }
    return all;
  }

  void look_at(Child& child) {
    int status = 0;
    if (::waitpid(child.pid, &status, WNOHANG) != child.pid) return;
    child.ended = true;
    // A client is done; a server is not, until this process is asked to stop.
    if (ensemble_ != nullptr && WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    if (ensemble_ != nullptr) ensemble_->give_up();
    // What it was it has said itself, on the same stderr.
    const std::string how = WIFEXITED(status)
                                ? fmt::format("ended with status {}", WEXITSTATUS(status))
                                : fmt::format("was ended by signal {}", WTERMSIG(status));
    if (failure_.ok()) {
      failure_ = {StatusCode::kPeerLost, fmt::format("the process of {} {}", child.name, how)};
    }
  }

  void end_rest() {
    for (Child& child : children_) {
      if (child.ended) continue;
      end_process(child.pid);
      child.ended = true;
    }
  }

  perf::Ensemble* ensemble_;  // nullptr: servers
  std::vector<Child> children_;
  Status failure_;
};

int run_server(const State& state) {
  const Result<InForce> in_force = settings_in_force(state.settings);
  if (!in_force.ok()) return usage(in_force.status());
  const auto places = choose_engines(state.options.engines);
  if (!places.ok()) return usage(places.status());
  const Status ports = check_ports(in_force->perf().perf_port, places->size());
  if (!ports.ok()) return usage(ports);
  ChildMembers servers(nullptr);
  for (std::size_t i = 0; i < places->size(); ++i) {
    const std::uint64_t port = in_force->perf().perf_port + i;
    Status status =
        servers.add((*places)[i].name,
                    arguments_for({"server", "--with-parent", "--port", std::to_string(port)},
                                  *in_force, (*places)[i], state.progress_thread),
                    environment_for(*in_force));
    if (!status.ok()) return exit_status(status);
  }
  const Status status = servers.outcome();
  return stop_requested() ? kDone : exit_status(status);
}

// The child's own measurement: what the parent was asked, as one engine.
Result<std::unique_ptr<Members>> start_clients(const State& state,
                                               const std::vector<EnginePlace>& places,
                                               perf::Ensemble& ensemble, const InForce& in_force) {
  auto members = std::make_unique<ChildMembers>(&ensemble);
  for (std::size_t i = 0; i < places.size(); ++i) {
    std::vector<std::string> first{"local"};
    if (!state.host.empty()) {
      const std::uint64_t port = in_force.perf().perf_port + i;
      first = {"client", state.host, "--port", std::to_string(port)};
    }
    first.insert(first.end(),
                 {"--ensemble-fd", std::to_string(kEnsembleFd), "--member", std::to_string(i)});
    const std::vector<std::string> op = op_arguments(state.options.measure);
    first.insert(first.end(), op.begin(), op.end());
    for (const Setting& setting : perf_settings()) {
      const std::string name = setting.name;
      if (name == "perf_port") continue;
      first.insert(first.end(), {"--set", name + "=" + get_option(in_force.perf(), name)});
    }
    Status status = members->add(
        places[i].name, arguments_for(std::move(first), in_force, places[i], state.progress_thread),
        environment_for(in_force));
    if (!status.ok()) return status;
  }
  return std::unique_ptr<Members>(std::move(members));
}

int run_client(const State& state) {
  const Result<InForce> in_force = measuring_settings(state.settings);
  if (!in_force.ok()) return usage(in_force.status());
  const Status possible = check_many(*in_force, state.options);
  if (!possible.ok()) return usage(possible);
  const auto places = choose_engines(state.options.engines);
  if (!places.ok()) return usage(places.status());
  std::string server = "servers of its own on loopback";
  if (!state.host.empty()) {
    const Status ports = check_ports(in_force->perf().perf_port, places->size());
    if (!ports.ok()) return usage(ports);
    const auto targets = make_targets(state.host, *in_force, places->size());
    if (!targets.ok()) return exit_status(targets.status());
    server = targets->front().name;
  }
  const Target target{"",
                      fmt::format("{}, {} processes of an engine each", server, places->size())};
  return measure_many("perf multi", target, *in_force, state.options, *places,
                      [&](perf::Ensemble& ensemble, const InForce& one) {
                        return start_clients(state, *places, ensemble, one);
                      });
}

}  // namespace

void add_perf_multi_command(CLI::App& parent, Action& action) {
  CLI::App* multi = parent.add_subcommand("multi",
                                          "The same as `sluice orchestrate` with a process per "
                                          "GPU, all started by this one: to compare "
                                          "the two designs");
  multi->require_subcommand(1);
  for (const std::string name : {"local", "server", "client"}) {
    CLI::App* app = multi->add_subcommand(
        name, name == "local"    ? "Measures against servers of its own on loopback"
              : name == "server" ? "Starts the servers, one above the other from --port on"
                                 : "Measures against the servers on HOST");
    auto state = std::make_shared<State>(*app);
    if (name == "client") {
      app->add_option("HOST", state->host, "Name or address of the servers")->required();
    }
    if (name != "local") {
      state->settings.add("--port", "perf_port");
      state->settings.add("--token", "token");
    }
    if (name == "server") {
      state->settings.add("--interface,--listen-host", "listen_host");
      add_engine_options(*app, state->settings, state->options.engines);
    } else {
      add_many_options(*app, state->settings, state->options);
    }
    app->add_flag("--progress-thread", state->progress_thread,
                  "Drive each engine on a thread of its own instead of the main thread");
    state->settings.add_rest();
    const bool serves = name == "server";
    app->callback([state, serves, &action] {
      action = [state, serves] { return serves ? run_server(*state) : run_client(*state); };
    });
  }
}

}  // namespace sluice::tools
