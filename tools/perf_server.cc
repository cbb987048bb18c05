// `sluice perf server`
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/commands.h"
#include "tools/perf_common.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

struct State {
  explicit State(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  ServeOptions options;
  bool with_parent = false;  // End when the process that started this one does.
};

int run(const State& state) {
  const bool is_child = state.options.announce_fd >= 0 || state.with_parent;
  const Result<InForce> in_force = settings_in_force(state.settings, is_child);
  if (!in_force.ok()) return usage(in_force.status());
  if (is_child) end_with_parent();
  return serve(*in_force, state.options);
}

}  // namespace

void add_perf_server_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "server",
      "Waits for clients and serves one after the other, until Ctrl-C. Without a token, anyone who "
      "reaches the port may connect; prefer SLUICE_TOKEN to --token, which other users of the "
      "machine can see.");
  auto state = std::make_shared<State>(*app);
  state->settings.add("--port", "perf_port");
  state->settings.add("--interface,--listen-host", "listen_host");
  state->settings.add("--token", "token");
  state->settings.add("--channels", "channels");
  state->settings.add("--chunk,--chunk-bytes", "chunk_bytes");
  state->settings.add("--window", "window");
  app->add_flag("--once", state->options.once,
                "End after one client, with status 0 if that one ended well");
  app->add_option("--announce-fd", state->options.announce_fd)->group("");
  app->add_flag("--with-parent", state->with_parent)->group("");
  add_end_options(*app, state->settings, state->options.end);
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
