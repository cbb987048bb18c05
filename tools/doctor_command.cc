// `sluice doctor`
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/gpu/cuda_gpu.h"
#include "src/net/plugin/plugin_environment.h"
#include "tools/commands.h"
#include "tools/doctor/checks.h"
#include "tools/doctor/peer_checks.h"
#include "tools/perf/report.h"
#include "tools/perf_common.h"

namespace sluice::tools {
namespace {

struct State {
  explicit State(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  std::vector<std::string> peers;
  std::string json;  // File; "" for none, kStdout for in place of the text
};

constexpr const char* kStdout = "-";

void add(doctor::Findings& all, doctor::Findings some) {
  all.insert(all.end(), some.begin(), some.end());
}

doctor::Findings examine(const InForce& in_force, const std::vector<std::string>& peers) {
  const doctor::HostFiles files;
  const Result<Machine> read = read_machine("/sys");
  const Machine machine = read.ok() ? *read : Machine{};
  const std::vector<doctor::NicFacts> nics = doctor::read_nics(files, machine);
  const std::uint32_t gpus = count_cuda_gpus();
  doctor::Findings findings = doctor::check_nics(nics, machine);
  add(findings, doctor::check_kernel(files));
  const bool pins = gpus > 0 || in_force.options().net != "tcp";
  add(findings, doctor::check_limits(doctor::read_limits(), machine, pins));
  add(findings, doctor::check_gpus(files, machine, gpus));
  add(findings, doctor::check_plugin(in_force.options().net, rxdm_folder_of_environment()));
  if (peers.empty()) return findings;
  add(findings, doctor::check_paths(peers, nics, in_force.perf().perf_port));
  add(findings, doctor::check_transfers(peers, in_force));
  return findings;
}

int run(const State& state) {
  const Result<InForce> in_force = measuring_settings(state.settings);
  if (!in_force.ok()) return usage(in_force.status());
  const doctor::Findings findings = examine(*in_force, state.peers);
  const std::string json = doctor::findings_json(findings);
  const std::string& text = state.json == kStdout ? json : doctor::findings_text(findings);
  std::fputs(text.c_str(), stdout);
  if (!state.json.empty() && state.json != kStdout) {
    if (const Status status = perf::write_file(state.json, json); !status.ok()) {
      return fail(status);
    }
  }
  return doctor::exit_status_of(findings);
}

}  // namespace

void add_doctor_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "doctor",
      "Checks this host before the first run, and with --peer what lies between it and another: "
      "what is wrong, why it matters, and the command that changes it. Status 1 if something will "
      "not work.");
  auto state = std::make_shared<State>(*app);
  app->add_option("--peer", state->peers,
                  "A host on which `sluice perf server` runs, or its address on each of its NICs")
      ->type_name("HOST,...")
      ->delimiter(',');
  state->settings.add("--port", "perf_port");
  state->settings.add("--token", "token");
  state->settings.add("--net", "net");
  app->add_option("--json", state->json, "Print JSON instead, or write it to FILE")
      ->expected(0, 1)
      ->default_str(kStdout)
      ->type_name("[FILE]");
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
