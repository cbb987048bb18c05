// `sluice orchestrate`
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "tools/child_server.h"
#include "tools/commands.h"
#include "tools/orchestrate.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

struct ServerState {
  explicit ServerState(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  EngineChoice engines;
  OrchestratedServer options;
};

int run_server(const ServerState& state) {
  const bool is_child = state.options.announce_fd >= 0;
  const Result<InForce> in_force = settings_in_force(state.settings, is_child);
  if (!in_force.ok()) return usage(in_force.status());
  if (is_child) end_with_parent();
  const auto places = choose_engines(state.engines);
  if (!places.ok()) return usage(places.status());
  return orchestrate_server(*in_force, *places, state.options);
}

void add_server(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "server",
      "Waits for clients with an engine per GPU, each at a port of its own, until Ctrl-C");
  auto state = std::make_shared<ServerState>(*app);
  state->settings.add("--port", "perf_port");
  state->settings.add("--interface,--listen-host", "listen_host");
  state->settings.add("--token", "token");
  state->settings.add("--channels", "channels");
  state->settings.add("--chunk,--chunk-bytes", "chunk_bytes");
  state->settings.add("--window", "window");
  add_engine_options(*app, state->settings, state->engines);
  add_drive_option(*app, state->options.drive);
  app->add_flag("--once", state->options.once, "End when every engine has served one client");
  app->add_option("--announce-fd", state->options.announce_fd)->group("");
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run_server(*state); }; });
}

struct ClientState {
  explicit ClientState(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  ManyOptions options;
  std::string host;  // "": a server of its own
  Drive drive = Drive::kCaller;
};

// The command that starts the other end of `places`.
std::vector<std::string> server_command(const ClientState& state,
                                        const std::vector<EnginePlace>& places) {
  std::vector<std::string> command{"orchestrate", "server", "--threads", to_string(state.drive)};
  if (places.front().gpu < 0) {
    command.insert(command.end(), {"--engines", std::to_string(places.size())});
    return command;
  }
  std::string gpus;
  for (const EnginePlace& place : places) {
    gpus += (gpus.empty() ? "" : ",") + std::to_string(place.gpu);
  }
  command.insert(command.end(), {"--gpus", gpus});
  if (!state.options.engines.map.empty()) {
    command.insert(command.end(), {"--map", state.options.engines.map});
  }
  return command;
}

int run_client(const ClientState& state) {
  const Result<InForce> in_force = measuring_settings(state.settings);
  if (!in_force.ok()) return usage(in_force.status());
  const Status possible = check_many(*in_force, state.options);
  if (!possible.ok()) return usage(possible);
  const auto places = choose_engines(state.options.engines);
  if (!places.ok()) return usage(places.status());
  if (!state.host.empty()) {
    const Status ports = check_ports(in_force->perf().perf_port, places->size());
    if (!ports.ok()) return usage(ports);
    const auto targets = make_targets(state.host, *in_force, places->size());
    if (!targets.ok()) return exit_status(targets.status());
    return orchestrate_client(*targets, *in_force, state.options, *places, state.drive);
  }
  const auto server = ChildServer::start(*in_force, server_command(state, *places), places->size());
  if (!server.ok()) return exit_status(server.status());
  std::vector<Target> targets;
  for (std::size_t i = 0; i < places->size(); ++i) {
    targets.push_back({(*server)->address(i), "a server of its own on loopback", true});
  }
  return orchestrate_client(targets, *in_force, state.options, *places, state.drive);
}

void add_client(CLI::App& parent, Action& action, bool local) {
  CLI::App* app = parent.add_subcommand(
      local ? "local" : "client",
      local ? "Starts a server on loopback by itself and measures against it"
            : "Measures against the server on HOST, engine by engine at the same time");
  auto state = std::make_shared<ClientState>(*app);
  if (!local) {
    app->add_option("HOST", state->host, "Name or address of the server")->required();
    state->settings.add("--port", "perf_port");
    state->settings.add("--token", "token");
  }
  add_many_options(*app, state->settings, state->options);
  add_drive_option(*app, state->drive);
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run_client(*state); }; });
}

}  // namespace

void add_orchestrate_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "orchestrate",
      "Measures with all GPUs in one process, an engine each (engines of host memory where there "
      "are no GPUs). Engine k meets the server at port + k. `sluice perf multi` does the same with "
      "a process per GPU.");
  app->require_subcommand(1);
  add_client(*app, action, true);
  add_server(*app, action);
  add_client(*app, action, false);
}

}  // namespace sluice::tools
