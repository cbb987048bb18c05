// `sluice report`
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/perf/report.h"
#include "tools/report/summary.h"
#include "tools/report/trace.h"

namespace sluice::tools {
namespace {

struct State {
  std::vector<std::string> files;
  std::string trace;
};

int run(const State& state) {
  const Status writable = perf::check_writable(state.trace);
  if (!writable.ok()) return usage(writable);
  std::vector<Recording> recordings;
  for (const std::string& file : state.files) {
    Result<Recording> recording = read_recording(file);
    if (!recording.ok()) return fail(recording.status());
    recordings.push_back(recording.take());
  }
  const report::Timeline timeline = report::make_timeline(std::move(recordings));
  std::fputs(report::summary_text(timeline).c_str(), stdout);
  if (state.trace.empty()) return kDone;
  const Status status = perf::write_file(state.trace, report::trace_json(timeline));
  return status.ok() ? kDone : fail(status);
}

}  // namespace

void add_report_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "report",
      "Shows recordings of one or more engines on one clock: windows, gaps, what is "
      "outstanding, where the time went");
  auto state = std::make_shared<State>();
  app->add_option("files", state->files,
                  "Recordings (setting recorder_dir, Engine::record_to): best of both ends")
      ->required()
      ->type_name("FILE");
  app->add_option("--trace", state->trace,
                  "Write all events as a Chrome trace to this file: ui.perfetto.dev opens it")
      ->type_name("FILE");
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
