// The command line of the program that `sluice orchestrate` succeeds:
//   test_tcpx_perf_orchestrator server
//   test_tcpx_perf_orchestrator client SERVER_IP
// Its environment (UCCL_TCPX_NUM_CHANNELS, ...) is part of the table of settings.
#include <cstdio>
#include <string>
#include <string_view>

#include "tools/orchestrate.h"
#include "tools/stop.h"

namespace {

using namespace sluice;
using namespace sluice::tools;

int print_usage() {
  std::fputs(
      "usage: test_tcpx_perf_orchestrator server\n"
      "       test_tcpx_perf_orchestrator client SERVER_IP\n",
      stderr);
  return kUsage;
}

int run(bool serves, const std::string& host) {
  Result<InForce> in_force = InForce::from_environment();
  if (!in_force.ok()) return usage(in_force.status());
  const auto places = choose_engines(EngineChoice{});
  if (!places.ok()) return usage(places.status());
  if (serves) return orchestrate_server(*in_force, *places, {.once = true});
  if (const Status status = prefer_client_settings(*in_force); !status.ok()) return usage(status);
  const auto targets = make_targets(host, *in_force, places->size());
  if (!targets.ok()) return exit_status(targets.status());
  return orchestrate_client(*targets, *in_force, {}, *places, Drive::kCaller);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  catch_stop_signals();
  catch_report_signal();
  if (role == "server" && argc == 2) return run(true, "");
  if (role == "client" && argc == 3) return run(false, argv[2]);
  return print_usage();
}
