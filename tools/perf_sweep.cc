// `sluice perf sweep`
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "src/base/settings.h"
#include "tools/child_server.h"
#include "tools/commands.h"
#include "tools/perf/machine.h"
#include "tools/perf/plan.h"
#include "tools/perf/plot.h"
#include "tools/perf/report.h"
#include "tools/perf/table.h"
#include "tools/perf_common.h"

namespace sluice::tools {
namespace {

constexpr char kNoPlot[] = "none";
// Enough to see where more channels help; the whole ladder would take minutes.
constexpr char kSizes[] = "64K,1M,64M";

struct State {
  explicit State(CLI::App& app) : settings(app) { options.json = "sluice-sweep.json"; }
  SettingOptions settings;
  MeasureOptions options;
  std::string host;  // "": a server of its own
  std::string channels = "1,2,4,8";
  std::string plot = "sluice-sweep.svg";
};

Status write_results(const State& state, const std::string& title, const InForce& in_force,
                     const std::vector<perf::ResultRow>& rows) {
  Status status =
      perf::write_file(state.options.json,
                       perf::report_json(rows, in_force.all_settings(), perf::describe_machine()));
  if (!status.ok()) return status;
  std::printf("results: %s\n", state.options.json.c_str());
  if (state.plot == kNoPlot) return {};
  status = perf::draw(perf::bandwidth_plot(rows, title), state.plot);
  if (status.ok()) std::printf("plot: %s\n", state.plot.c_str());
  return status;
}

// Measures with each number of channels against one server.
int sweep(const State& state, InForce in_force, const std::vector<std::uint32_t>& channels) {
  Result<Target> target{Target{}};
  std::unique_ptr<ChildServer> child;
  if (state.host.empty()) {
    auto started = ChildServer::start(in_force, state.options.end);
    if (!started.ok()) return exit_status(started.status());
    child = started.take();
    target = Target{child->address(), "a server of its own on loopback", true};
  } else {
    target = make_target(state.host, in_force);
  }
  if (!target.ok()) return exit_status(target.status());

  std::vector<perf::ResultRow> rows;
  for (const std::uint32_t count : channels) {
    Status status = in_force.set("channels", std::to_string(count), "--channels");
    if (status.ok()) status = measure(*target, in_force, state.options, rows.empty(), rows);
    if (!status.ok()) return exit_status(status);
  }
  const std::string beside = perf::beside_line(rows);
  if (!beside.empty()) std::printf("%s\n", beside.c_str());
  std::printf("%s\n", perf::verified_line(rows).c_str());
  const std::string title = fmt::format("sluice perf sweep to {}", target->name);
  return exit_status(write_results(state, title, in_force, rows));
}

int run(const State& state) {
  Result<InForce> in_force = measuring_settings(state.settings);
  if (!in_force.ok()) return usage(in_force.status());
  Status status = in_force->prefer("perf_size", kSizes, "default of sweep");
  if (!status.ok()) return usage(status);
  const auto plan = plan_of(*in_force, state.options);
  if (!plan.ok()) return usage(plan.status());
  if (const Status end = prepare_end(state.options.end); !end.ok()) return usage(end);
  const Result<std::vector<std::uint32_t>> channels = parse_channels(state.channels);
  if (!channels.ok()) return usage(channels.status().with_context("--channels"));
  status = perf::check_writable(state.options.json);
  if (status.ok() && state.plot != kNoPlot) status = perf::check_writable(state.plot);
  if (!status.ok()) return usage(status);
  if (state.plot != kNoPlot) {
    status = perf::can_draw(state.plot);
    if (!status.ok()) return exit_status(status);
  }
  return sweep(state, in_force.take(), *channels);
}

}  // namespace

void add_perf_sweep_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "sweep",
      "Measures with several numbers of channels, one after the other, against one server: that on "
      "HOST, or one of its own on loopback. Writes a table, JSON and a plot.");
  auto state = std::make_shared<State>(*app);
  app->add_option("HOST", state->host, "Name or address of the server");
  app->add_option("--channels", state->channels, "Numbers of channels, each 1 to 64")
      ->type_name("LIST")
      ->capture_default_str();
  add_file_option(
      *app, "--plot", state->plot,
      "SVG to draw with gnuplot, a name that ends in .gnuplot for its commands, or none")
      ->capture_default_str();
  state->settings.add("--port", "perf_port");
  state->settings.add("--token", "token");
  add_measure_options(*app, state->settings, state->options);
  state->settings.leave_out("channels");
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
