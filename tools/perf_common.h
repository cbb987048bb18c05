// What the subcommands of `sluice perf` have in common: their options, and measuring a plan against
// a server with its table, progress bar and JSON.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "tools/command_line.h"
#include "tools/in_force.h"
#include "tools/perf/client.h"
#include "tools/perf/result.h"

namespace sluice::tools {

// Of both ends.
struct EndOptions {
  int gpu = -1;  // -1: not asked for.
  bool progress_thread = false;
};
void add_end_options(CLI::App& app, SettingOptions& settings, EndOptions& options);
[[nodiscard]] perf::Threading threading_of(const EndOptions& options);
// The memory to measure; says on stderr when it is not what was asked.
[[nodiscard]] Memory memory_of(const EndOptions& options);
// The engine's settings for it.
[[nodiscard]] Options engine_options(const InForce& in_force, const EndOptions& options,
                                     Memory memory);

// Of the ends that measure.
struct MeasureOptions {
  EndOptions end;
  bool both_directions = false;
  std::string json;  // File; "" for none
};
void add_measure_options(CLI::App& app, SettingOptions& settings, MeasureOptions& options);

// The settings in force with what the command line set, and complaints about the environment.
Result<InForce> settings_in_force(const SettingOptions& settings);
// The same for a client: what goes wrong is told in its last sentence, so that only errors are
// logged unless the user wants more.
Result<InForce> measuring_settings(const SettingOptions& settings);
Status prefer_client_settings(InForce& in_force);

struct Target {
  std::string address;  // As Engine::connect() takes it.
  std::string name;     // For people.
};
// HOST and the settings' port and token. kNotFound: unknown host.
Result<Target> make_target(const std::string& host, const InForce& in_force);

// Measures every size and prints the table: its header if `with_header`, and a row as it comes.
// Adds what it measured to `rows`.
Status measure(const Target& target, const InForce& in_force, const MeasureOptions& options,
               bool with_header, std::vector<perf::ResultRow>& rows);

// measure(), then what was verified and the JSON. An exit status.
int measure_and_report(const Target& target, const InForce& in_force,
                       const MeasureOptions& options);

// Says what ended a command: nothing if it is OK. An exit status.
int exit_status(const Status& status);

// Serves until interrupted, or one client. An exit status.
struct ServeOptions {
  EndOptions end;
  bool once = false;
  int announce_fd = -1;  // Where to write address(); then nothing is printed.
};
int serve(const InForce& in_force, const ServeOptions& options);

}  // namespace sluice::tools
