// `sluice perf local`
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/child_server.h"
#include "tools/commands.h"
#include "tools/perf/plan.h"
#include "tools/perf/report.h"
#include "tools/perf_common.h"

namespace sluice::tools {
namespace {

struct State {
  explicit State(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  MeasureOptions options;
  int server_gpu = -1;  // -1: the client's.
};

int run(const State& state) {
  const Result<InForce> in_force =
      measuring_settings(state.settings, state.options.ensemble_fd >= 0);
  if (!in_force.ok()) return usage(in_force.status());
  const auto plan = plan_of(*in_force, state.options);
  if (!plan.ok()) return usage(plan.status());
  if (const Status file = perf::check_writable(state.options.json); !file.ok()) return usage(file);
  EndOptions server_end = state.options.end;
  if (state.server_gpu >= 0) server_end.gpu = state.server_gpu;
  for (const EndOptions& end : {state.options.end, server_end}) {
    if (const Status status = prepare_end(end); !status.ok()) return usage(status);
  }
  const auto server = ChildServer::start(*in_force, server_end);
  if (!server.ok()) return exit_status(server.status());
  return measure_and_report({(*server)->address(), "a server of its own on loopback", true},
                            *in_force, state.options);
}

}  // namespace

void add_perf_local_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "local", "Starts a server on loopback by itself and measures against it");
  auto state = std::make_shared<State>(*app);
  state->settings.add("--channels", "channels");
  add_measure_options(*app, state->settings, state->options);
  app->add_option("--server-gpu", state->server_gpu, "The server's GPU, if it is another")
      ->type_name("N")
      ->check(CLI::Range(0, 1023));
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
