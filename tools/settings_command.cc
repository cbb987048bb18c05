// `sluice settings`
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "src/base/settings.h"
#include "src/gpu/cuda_gpu.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/perf_common.h"
#include "tools/settings_page.h"

namespace sluice::tools {
namespace {

struct State {
  explicit State(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  bool markdown = false;
};

int run(const State& state) {
  if (state.markdown) {
    std::fputs(settings_markdown().c_str(), stdout);
    return kDone;
  }
  const Result<InForce> in_force = settings_in_force(state.settings);
  if (!in_force.ok()) return usage(in_force.status());
  // What an engine would say to them.
  if (const Status status = validate(in_force->options()); !status.ok()) return usage(status);
  std::fputs(settings_table(*in_force).c_str(), stdout);
  std::printf("\n%s\n", describe_cuda().c_str());
  return kDone;
}

}  // namespace

void add_settings_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "settings",
      "Lists every setting with its value in force, where that comes from, and what is legal");
  auto state = std::make_shared<State>(*app);
  app->add_flag("--markdown", state->markdown, "Print docs/configuration.md instead");
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
