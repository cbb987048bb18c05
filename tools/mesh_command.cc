// `sluice mesh`
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "tools/commands.h"
#include "tools/engine_choice.h"
#include "tools/mesh/hosts.h"
#include "tools/mesh/rendezvous.h"
#include "tools/perf/plot.h"
#include "tools/perf/report.h"
#include "tools/perf_common.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

struct State {
  explicit State(CLI::App& app) : settings(app) {}
  SettingOptions settings;
  EngineChoice engines;
  std::string hosts;
  int rank = -1;  // -1: the launcher tells.
  std::uint16_t port = 20100;
  std::uint32_t join_timeout_s = 120;
  std::uint32_t limit_s = 60;
  std::string json;
  std::string plot;
};

Result<std::vector<std::string>> read_hosts(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return Status(StatusCode::kNotFound, fmt::format("cannot read {}", path));
  auto hosts = mesh::parse_hosts(text.str());
  return hosts.ok() ? std::move(hosts) : hosts.status().with_context(path);
}

Result<std::uint32_t> rank_of(const State& state, std::size_t hosts) {
  std::uint32_t rank = 0;
  std::string by = "--rank";
  if (state.rank >= 0) {
    rank = static_cast<std::uint32_t>(state.rank);
  } else {
    const auto found = mesh::find_launcher();
    if (!found.ok()) return found.status();
    if (!found->has_value()) {
      return Status(StatusCode::kInvalidArgument,
                    "no launcher says which of the hosts this is: give --rank, the place in the "
                    "file from 0 on");
    }
    rank = (*found)->rank;
    by = (*found)->by;
    if ((*found)->size.value_or(hosts) != hosts) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("{} processes were started for {} hosts: it takes one on each",
                                *(*found)->size, hosts));
    }
  }
  if (rank < hosts) return rank;
  return Status(StatusCode::kInvalidArgument,
                fmt::format("{}: rank {} of {} hosts", by, rank, hosts));
}

// What a mesh is measured with unless something else is asked for.
Status prefer_mesh_settings(InForce& in_force) {
  Status status = prefer_client_settings(in_force);
  if (status.ok()) status = in_force.prefer("perf_size", "8,16M", "default of mesh");
  if (status.ok()) status = in_force.prefer("perf_phase_ms", "200", "default of mesh");
  return status;
}

int show(const State& state, const mesh::Meshed& meshed) {
  print(mesh::matrix_text(meshed.matrix) +
        (meshed.matrix.whole() ? "every pair was measured" : "not every pair could be measured"));
  Status status;
  if (!state.json.empty()) {
    status = perf::write_file(state.json, mesh::matrix_json(meshed.matrix, meshed.rounds));
  }
  if (status.ok() && !state.plot.empty()) {
    status = perf::draw(mesh::heat_map(meshed.matrix, "sluice mesh: bandwidth of each pair"),
                        state.plot);
  }
  if (!status.ok()) return exit_status(status);
  return meshed.matrix.whole() ? kDone : kFailed;
}

int run(const State& state) {
  Result<InForce> in_force = settings_in_force(state.settings);
  if (!in_force.ok()) return usage(in_force.status());
  if (Status status = prefer_mesh_settings(*in_force); !status.ok()) return usage(status);
  const auto plan = perf::make_plan(in_force->perf(), false);
  if (!plan.ok()) return usage(plan.status());
  const auto hosts = read_hosts(state.hosts);
  if (!hosts.ok()) return usage(hosts.status());
  const auto rank = rank_of(state, hosts->size());
  if (!rank.ok()) return usage(rank.status());
  const auto places = choose_engines(state.engines);
  if (!places.ok()) return usage(places.status());
  const bool leads = *rank == 0;
  for (const std::string& file : {state.json, state.plot}) {
    if (!leads) break;
    if (Status status = perf::check_writable(file); !status.ok()) return usage(status);
  }
  if (leads && !state.plot.empty()) {
    if (Status status = perf::can_draw(state.plot); !status.ok()) return exit_status(status);
  }
  const std::chrono::seconds limit(state.limit_s);
  auto worker = mesh::Worker::create({*in_force, *places, *hosts, limit});
  if (!worker.ok()) return exit_status(worker.status());
  const mesh::RendezvousOptions options{
      .engine = in_force->options(),
      .hosts = *hosts,
      .port = state.port,
      .join_limit = std::chrono::seconds(state.join_timeout_s),
      .answer_limit = limit + std::chrono::seconds(30),
      .say = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }};
  if (!leads) return exit_status(mesh::follow(options, *rank, **worker));
  if (options.engine.token.empty()) {
    std::fprintf(stderr, "no token is set: anyone who reaches port %u may take part\n",
                 static_cast<unsigned>(state.port));
  }
  const auto meshed = mesh::lead(options, **worker);
  return meshed.ok() ? show(state, *meshed) : exit_status(meshed.status());
}

void add_options(CLI::App& app, State& state) {
  app.add_option("--hosts", state.hosts, "A file with a host a line; the first is rank 0")
      ->required()
      ->type_name("FILE");
  app.add_option("--rank", state.rank,
                 "Which of these hosts this is, from 0; otherwise mpirun, srun or an indexed Job "
                 "says it")
      ->type_name("N")
      ->check(CLI::Range(0, static_cast<int>(mesh::kMostHosts) - 1));
  app.add_option("--port", state.port, "Where rank 0 is found (20100)")
      ->type_name("PORT")
      ->check(CLI::Range(1, 65535));
  app.add_option("--join-timeout", state.join_timeout_s,
                 "How long rank 0 waits for all hosts, and they for it (120 s)")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 86'400));
  app.add_option("--limit", state.limit_s, "How long one measurement may take (60 s)")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 86'400));
  add_file_option(app, "--json", state.json, "Write the matrix to this file, on rank 0");
  add_file_option(
      app, "--plot", state.plot,
      "Draw the matrix as a heat map into this SVG, on rank 0, with gnuplot; a name that "
      "ends in .gnuplot gets the commands for it instead");
}

}  // namespace

void add_mesh_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "mesh",
      "Measures every GPU of every host to every GPU of every other, each NIC once in a round. Run "
      "it on every host, by mpirun, srun, Kubernetes or hand; rank 0 shows the matrix. Without a "
      "token, anyone who reaches the port may take part; prefer SLUICE_TOKEN to --token.");
  auto state = std::make_shared<State>(*app);
  add_options(*app, *state);
  add_engine_options(*app, state->settings, state->engines);
  state->settings.add("--token", "token");
  state->settings.add("--channels", "channels");
  state->settings.add("--size", "perf_size");
  state->settings.add("--phase-ms", "perf_phase_ms");
  state->settings.add("--chunk,--chunk-bytes", "chunk_bytes");
  state->settings.add("--window", "window");
  state->settings.add_rest();
  app->callback([state, &action] { action = [state] { return run(*state); }; });
}

}  // namespace sluice::tools
