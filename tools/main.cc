// The `sluice` command.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/stop.h"

namespace {

constexpr char kPerf[] =
    "Measures sending messages between two processes. For each size, two phases: bandwidth "
    "(--depth messages outstanding, receives posted ahead) and latency (one message there and back "
    "at a time; half of the round trip is told, of a write or read all of it). CPU is the time of "
    "both ends in the bandwidth "
    "phase. GB are 1e9 bytes.";

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Moves GPU and host memory between hosts that have no RDMA", "sluice");
  sluice::tools::Action action;
  sluice::tools::leave_out_hidden(app);
  app.set_version_flag("--version", "sluice " SLUICE_VERSION);
  app.require_subcommand(1);
  CLI::App* perf = app.add_subcommand("perf", kPerf);
  perf->require_subcommand(1);
  sluice::tools::add_perf_local_command(*perf, action);
  sluice::tools::add_perf_server_command(*perf, action);
  sluice::tools::add_perf_client_command(*perf, action);
  sluice::tools::add_perf_sweep_command(*perf, action);
  sluice::tools::add_perf_multi_command(*perf, action);
  sluice::tools::add_orchestrate_command(app, action);
  sluice::tools::add_mesh_command(app, action);
  sluice::tools::add_probe_command(app, action);
  sluice::tools::add_report_command(app, action);
  sluice::tools::add_settings_command(app, action);
  sluice::tools::add_topo_command(app, action);
  sluice::tools::add_doctor_command(app, action);
  sluice::tools::add_env_command(app, action);
  sluice::tools::wrap_help(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // What was asked for: --help, --version.
    if (error.get_exit_code() == 0) return app.exit(error);
    sluice::tools::complain(sluice::tools::explain(app, error));
    return sluice::tools::kUsage;
  }
  sluice::tools::catch_stop_signals();
  sluice::tools::catch_report_signal();
  return action();
}
