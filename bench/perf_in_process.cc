// `sluice perf server` as a function, for a program that has a GPU context of its own and wants
// the engine in the same process (bench/gpu_beside.py).
#include <CLI/CLI.hpp>

#include "tools/command_line.h"
#include "tools/commands.h"

// The command's exit status. Arguments as of main(): "server" is the second, and what stands behind
// `sluice perf server` follows. Blocks; to be called by one thread at a time.
extern "C" [[gnu::visibility("default")]] int sluice_perf_server(int argc, char** argv) {
  CLI::App app("", "sluice perf");
  sluice::tools::Action action;
  sluice::tools::leave_out_hidden(app);
  sluice::tools::add_perf_server_command(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    sluice::tools::complain(sluice::tools::explain(app, error));
    return sluice::tools::kUsage;
  }
  return action();
}
