// The command line of the program that `sluice perf` succeeds:
//   test_tcpx_perf_multi server GPU
//   test_tcpx_perf_multi client SERVER_IP GPU
// Its environment (UCCL_TCPX_NUM_CHANNELS, ...) is part of the table of settings.
#include <cstdio>
#include <string>
#include <string_view>

#include "src/base/settings.h"
#include "tools/perf/plan.h"
#include "tools/perf_common.h"
#include "tools/stop.h"

namespace {

using namespace sluice;
using namespace sluice::tools;

int print_usage() {
  std::fputs(
      "usage: test_tcpx_perf_multi server GPU\n"
      "       test_tcpx_perf_multi client SERVER_IP GPU\n",
      stderr);
  return kUsage;
}

int run(std::string_view role, const std::string& host, const std::string& gpu) {
  const Result<std::uint64_t> number = parse_number(gpu);
  if (!number.ok() || *number > 1023) {
    complain("GPU " + gpu + ": not a number of a GPU, legal are 0 to 1023");
    return kUsage;
  }
  Result<InForce> in_force = InForce::from_environment();
  if (!in_force.ok()) return usage(in_force.status());
  const EndOptions end{.gpu = static_cast<int>(*number), .host_instead = true};
  if (role == "server") return serve(*in_force, {.end = end, .once = true});
  if (const Status status = prefer_client_settings(*in_force); !status.ok()) return usage(status);
  const auto plan = perf::make_plan(in_force->perf(), false);
  if (!plan.ok()) return usage(plan.status());
  const Result<Target> target = make_target(host, *in_force);
  if (!target.ok()) return exit_status(target.status());
  return measure_and_report(*target, *in_force, {.end = end, .json = ""});
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  catch_stop_signals();
  catch_report_signal();
  if (role == "server" && argc == 3) return run(role, "", argv[2]);
  if (role == "client" && argc == 4) return run(role, argv[2], argv[3]);
  return print_usage();
}
