// What the subcommands of `sluice perf` have in common: their options, and measuring a plan against
// a server with its table, progress bar and JSON.
#pragma once

#include <string>
#include <vector>

#include "tools/command_line.h"
#include "tools/in_force.h"
#include "tools/perf/client.h"
#include "tools/perf/plan.h"
#include "tools/perf/result.h"

namespace CLI {
class App;
}  // namespace CLI

namespace sluice::tools {

// Of both ends.
struct EndOptions {
  int gpu = -1;               // -1: not asked for.
  bool host_instead = false;  // Where there is no such GPU, take host memory and say so.
  bool progress_thread = false;
  std::string cores{};  // As the kernel lists them; "" is anywhere.
};
void add_end_options(CLI::App& app, SettingOptions& settings, EndOptions& options);
[[nodiscard]] perf::Threading threading_of(const EndOptions& options);
// The memory to measure. kUnavailable: its GPU is not here.
[[nodiscard]] Result<Memory> memory_of(const EndOptions& options);
// Moves to the cores that were asked for. Not OK: there is no such core or GPU.
Status prepare_end(const EndOptions& options);
// The engine's settings for it.
[[nodiscard]] Options engine_options(const InForce& in_force, const EndOptions& options,
                                     Memory memory);

// Of the ends that measure.
struct MeasureOptions {
  EndOptions end;
  bool both_directions = false;
  perf::Op op = perf::Op::kSend;
  perf::Blocks blocks{};
  std::uint64_t beside = 0;  // bytes
  bool urgent = false;
  std::string json;  // File; "" for none
  // Of a process that measures together with others, which its parent reports: the Ensemble it
  // inherited, -1 for none, and its place in that.
  int ensemble_fd = -1;
  std::uint32_t member = 0;
};
// Everything but which engine measures.
void add_plan_options(CLI::App& app, SettingOptions& settings, MeasureOptions& options);
void add_op_options(CLI::App& app, MeasureOptions& options);
void add_measure_options(CLI::App& app, SettingOptions& settings, MeasureOptions& options);

// The settings in force with what the command line set, and complaints about the environment,
// unless this is a child: its parent has them. Not OK as well: recordings could not be kept.
Result<InForce> settings_in_force(const SettingOptions& settings, bool is_child = false);
// The same for a client: what goes wrong is told in its last sentence, so that only errors are
// logged unless the user wants more.
Result<InForce> measuring_settings(const SettingOptions& settings, bool is_child = false);
Status prefer_client_settings(InForce& in_force);

// What the settings and the command line ask for. kInvalidArgument says what does not fit.
Result<perf::Plan> plan_of(const InForce& in_force, const MeasureOptions& options);

// "1,2,4": numbers of channels, each 1 to 64. kInvalidArgument names the wrong one.
Result<std::vector<std::uint32_t>> parse_channels(std::string_view list);

struct Target {
  std::string address;  // As Engine::connect() takes it.
  std::string name;     // For people, as in "to NAME".
  bool own = false;     // Started by this process.
};
// As in "NAME: what went wrong".
[[nodiscard]] std::string server_name(const Target& target);
// HOST and the settings' port and token. kNotFound: unknown host.
Result<Target> make_target(const std::string& host, const InForce& in_force);

// Measures every size and prints the table: its header if `with_header`, and a row as it comes.
// Adds what it measured to `rows`.
Status measure(const Target& target, const InForce& in_force, const MeasureOptions& options,
               bool with_header, std::vector<perf::ResultRow>& rows);

// What the results are headed by, and what an engine does with both directions at once.
[[nodiscard]] std::string headline(std::string_view command, const Target& target,
                                   const InForce& in_force, const perf::Plan& plan,
                                   std::string_view memory);
void print(const std::string& line);  // At once.

// Of a client that is to be said to a server with a client already.
void say_that_it_waits();

// measure(), then what was verified and the JSON. An exit status.
int measure_and_report(const Target& target, const InForce& in_force,
                       const MeasureOptions& options);

// Says what ended a command: nothing if it is OK. An exit status.
int exit_status(const Status& status);

// Where a server without announce_fd is found: the port of perf, and no secret unless one is set. A
// client decides how many channels it uses, as far as this server was not told otherwise.
[[nodiscard]] Options server_options(Options engine, const InForce& in_force, bool announced);
// Writes the lines to `fd`, which some parent reads, and closes it.
Status announce(int fd, const std::string& lines);
void warn_without_token(const Options& engine);

// Serves until interrupted, or one client. An exit status.
struct ServeOptions {
  EndOptions end;
  bool once = false;
  int announce_fd = -1;  // Where to write address(); then nothing is printed.
};
int serve(const InForce& in_force, const ServeOptions& options);

}  // namespace sluice::tools
