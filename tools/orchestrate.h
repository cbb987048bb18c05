// Both ends of `sluice orchestrate`: all engines in one process.
#pragma once

#include <string>
#include <vector>

#include "tools/measure_many.h"

namespace sluice::tools {

// Who drives the engines.
enum class Drive {
  kCaller,  // A thread each, which uses the engine too: fewest threads, as in `sluice perf`.
  kOwn,     // A ProgressThread each, beside the thread that uses the engine.
  kOne,     // One progress thread for all, beside the threads that use the engines.
};
void add_drive_option(CLI::App& app, Drive& drive);
[[nodiscard]] const char* to_string(Drive drive);

struct OrchestratedServer {
  Drive drive = Drive::kCaller;
  bool once = false;     // End when each engine has served one client.
  int announce_fd = -1;  // Where to write the engines' addresses; then nothing is printed.
};
// Serves with an engine at each place, each at a port of its own. An exit status.
int orchestrate_server(const InForce& in_force, const std::vector<EnginePlace>& places,
                       const OrchestratedServer& options);

// Measures with an engine at each place against the server at each of `targets`, as many. An exit
// status.
int orchestrate_client(const std::vector<Target>& targets, const InForce& in_force,
                       const ManyOptions& options, const std::vector<EnginePlace>& places,
                       Drive drive);

// Engine k is found at `first` + k; 0 takes free ports. kInvalidArgument: they end at 65535.
Status check_ports(std::uint16_t first, std::size_t engines);

// The servers of a host, one for each place: at perf_port and the ports above it. kNotFound:
// unknown host.
Result<std::vector<Target>> make_targets(const std::string& host, const InForce& in_force,
                                         std::size_t count);

}  // namespace sluice::tools
