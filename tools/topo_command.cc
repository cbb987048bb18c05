// `sluice topo`
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "src/topology/machine.h"
#include "src/topology/nic_map.h"
#include "tools/command_line.h"
#include "tools/commands.h"
#include "tools/topo_drawing.h"

namespace sluice::tools {
namespace {

struct State {
  std::string sysfs = "/sys";
  std::string map;
  std::string svg;
  std::string json;  // A file, or kStdout.
};

constexpr const char* kStdout = "-";

Status write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return file ? Status() : Status::from_errno(errno, "writing " + path);
}

int run(const State& state) {
  const auto machine = read_machine(state.sysfs);
  if (!machine.ok()) return fail(machine.status());
  const auto map = map_nics(*machine, state.map);
  if (!map.ok()) return usage(map.status());
  const std::string text =
      state.json == kStdout ? topo_json(*machine, *map) : topo_text(*machine, *map);
  std::fputs(text.c_str(), stdout);
  Status status;
  if (!state.json.empty() && state.json != kStdout) {
    status = write(state.json, topo_json(*machine, *map));
  }
  if (status.ok() && !state.svg.empty()) status = write(state.svg, topo_svg(*machine, *map));
  return status.ok() ? kDone : fail(status);
}

}  // namespace

void add_topo_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "topo", "Shows GPUs, NICs and NUMA nodes, and which NIC each GPU uses and why");
  auto state = std::make_shared<State>();
  app->add_option("--sysfs", state->sysfs, "Read a recorded tree (scripts/record-sysfs.sh)")
      ->type_name("FOLDER");
  app->add_option("--map", state->map, "What you know better, as gpu0=eth1,gpu1=eth1")
      ->type_name("MAP");
  app->add_option("--json", state->json, "Print JSON instead, or write it to FILE")
      ->expected(0, 1)
      ->default_str(kStdout)
      ->type_name("[FILE]");
  app->add_option("--svg", state->svg, "Write a drawing to this file")->type_name("FILE");
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
