// `sluice probe`
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "src/base/log.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/perf/report.h"
#include "tools/probe/cases.h"
#include "tools/probe/report.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

constexpr char kAbout[] =
    "Tries a NCCL network plugin: what it is, and whether it keeps to NCCL's contract. Each case "
    "runs "
    "in a process of its own with a deadline. Exit status: 0 if every case passed, 1 if one did "
    "not, 2 if the plugin could not be tried. See docs/probe.md.";

struct State {
  probe::ProbeOptions probe;
  probe::ChildOptions child;
  std::string json;
  std::vector<std::string> only;
};

probe::Finding run_case(const State& state, const probe::Case& which) {
  const probe::Expectations expectations{which.if_it_ends == nullptr ? "" : which.if_it_ends,
                                         which.if_it_hangs == nullptr ? "" : which.if_it_hangs};
  return probe::run_in_child(state.child, expectations, [&](const probe::Reporter& reporter) {
    // Without it TCPX sends nothing, which only one case is about.
    ::setenv("NCCL_DYNAMIC_CHUNK_SIZE", std::to_string(probe::kChunkBytes).c_str(), 1);
    set_log_level(state.child.show_output ? LogLevel::kInfo : LogLevel::kError);
    probe::Probe under_probe(reporter, state.probe);
    which.run(under_probe);
  });
}

// kInvalidArgument for a name that no case has.
Result<std::vector<probe::Case>> chosen_cases(const State& state) {
  std::vector<probe::Case> all = probe::all_cases();
  if (state.only.empty()) return all;
  std::vector<probe::Case> chosen;
  for (const std::string& name : state.only) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const probe::Case& each) { return each.name == name; });
    if (found == all.end()) {
      std::string names;
      for (const probe::Case& each : all) names += fmt::format(" {}", each.name);
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("--case {}: no such case; there are{}", name, names));
    }
    chosen.push_back(*found);
  }
  return chosen;
}

int run(const State& state) {
  const auto cases = chosen_cases(state);
  if (!cases.ok()) return usage(cases.status());
  const Status writable = perf::check_writable(state.json);
  if (!writable.ok()) return usage(writable);
  const probe::Finding description = run_case(state, probe::description_case());
  if (description.verdict != probe::Verdict::kPass) {
    complain(fmt::format("{}: {}", state.probe.file, description.seen));
    return kUsage;
  }
  std::fputs(probe::description_text(state.probe.file, description.facts).c_str(), stdout);
  std::fputs(probe::table_header().c_str(), stdout);
  std::vector<probe::Row> rows;
  for (const probe::Case& each : *cases) {
    if (stop_requested()) return kUsage;
    rows.push_back({each.name, each.asks, run_case(state, each)});
    std::fputs(probe::table_row(rows.back()).c_str(), stdout);
    std::fflush(stdout);
  }
  std::fputs(probe::summary_line(rows).c_str(), stdout);
  if (!state.json.empty()) {
    const auto json = probe::report_json(state.probe.file, description.facts, rows);
    const Status written = perf::write_file(state.json, json.dump(2) + "\n");
    if (!written.ok()) return usage(written);
  }
  return probe::exit_status_of(rows);
}

}  // namespace

void add_probe_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand("probe", kAbout);
  auto state = std::make_shared<State>();
  app->add_option("PLUGIN", state->probe.file, "The plugin's file, such as ./libnccl-net.so")
      ->required();
  add_file_option(*app, "--json", state->json, "Also write the report as JSON");
  app->add_option("--case", state->only, "Only this case; may be given again")->type_name("NAME");
  app->add_option("--device", state->probe.device, "Device of the plugin")
      ->type_name("N")
      ->check(CLI::Range(0, 1023))
      ->capture_default_str();
  app->add_option("--comms", state->probe.comms, "Connections of the case many-comms")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app->add_option("--deadline", state->child.deadline_s, "Seconds for each case")
      ->type_name("S")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  app->add_flag("--show-output", state->child.show_output,
                "Let through what the plugin prints and logs");
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
