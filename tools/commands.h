// The subcommands, a file each: every one adds itself to the command line.
#pragma once

#include <functional>

namespace CLI {
class App;
}  // namespace CLI

namespace sluice::tools {

// What the command line chose to run; returns the exit status.
using Action = std::function<int()>;

// Each adds a subcommand to `parent`, which sets `action` when it is chosen. Both must outlive the
// parsing.
void add_doctor_command(CLI::App& parent, Action& action);
void add_env_command(CLI::App& parent, Action& action);
void add_mesh_command(CLI::App& parent, Action& action);
void add_report_command(CLI::App& parent, Action& action);
void add_settings_command(CLI::App& parent, Action& action);
void add_probe_command(CLI::App& parent, Action& action);
void add_perf_server_command(CLI::App& parent, Action& action);
void add_perf_client_command(CLI::App& parent, Action& action);
void add_perf_local_command(CLI::App& parent, Action& action);
void add_perf_multi_command(CLI::App& parent, Action& action);
void add_orchestrate_command(CLI::App& parent, Action& action);
void add_topo_command(CLI::App& parent, Action& action);
void add_perf_sweep_command(CLI::App& parent, Action& action);

}  // namespace sluice::tools
