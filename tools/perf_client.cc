// `sluice perf client`
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

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
  std::string host;
};

int run(const State& state) {
  const Result<InForce> in_force =
      measuring_settings(state.settings, state.options.ensemble_fd >= 0);
  if (!in_force.ok()) return usage(in_force.status());
  const auto plan = plan_of(*in_force, state.options);
  if (!plan.ok()) return usage(plan.status());
  if (const Status end = prepare_end(state.options.end); !end.ok()) return usage(end);
  if (const Status file = perf::check_writable(state.options.json); !file.ok()) return usage(file);
  const Result<Target> target = make_target(state.host, *in_force);
  if (!target.ok()) return exit_status(target.status());
  return measure_and_report(*target, *in_force, state.options);
}

}  // namespace

void add_perf_client_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand("client", "Measures against the server on HOST");
  auto state = std::make_shared<State>(*app);
  app->add_option("HOST", state->host, "Name or address of the server")->required();
  state->settings.add("--port", "perf_port");
  state->settings.add("--token", "token");
  state->settings.add("--channels", "channels");
  add_measure_options(*app, state->settings, state->options);
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
