// The options that several subcommands have, in one place because CLI11 is slow to compile.
#include <CLI/CLI.hpp>
#include <string>

#include "tools/orchestrate.h"

namespace sluice::tools {

void add_end_options(CLI::App& app, SettingOptions& settings, EndOptions& options) {
  settings.leave_out("gpu");
  app.add_option("--gpu", options.gpu, "Measure the memory of this GPU")
      ->type_name("N")
      ->check(CLI::Range(0, 1023));
  app.add_flag("--progress-thread", options.progress_thread,
               "Drive the engine on a thread of its own instead of the main thread");
  app.add_option("--cores", options.cores,
                 "Run on these cores alone, such as 0-3,8: those of the "
                 "NIC's NUMA node (sluice topo)")
      ->type_name("LIST");
}

void add_plan_options(CLI::App& app, SettingOptions& settings, MeasureOptions& options) {
  settings.add("--size", "perf_size");
  settings.add("--iterations", "perf_iterations");
  settings.add("--warmup", "perf_warmup");
  settings.add("--depth", "perf_depth");
  settings.add("--phase-ms", "perf_phase_ms");
  settings.add("--verify", "perf_verify");
  settings.add("--chunk,--chunk-bytes", "chunk_bytes");
  settings.add("--window", "window");
  app.add_flag("--both-directions", options.both_directions,
               "Send and receive at once in the bandwidth phase; GB/s is the sum");
  add_file_option(app, "--json", options.json, "Write the results to this file");
}

void add_op_options(CLI::App& app, MeasureOptions& options) {
  using perf::BlockOrder;
  using perf::Op;
  const auto choose = [&app](const char* name, const char* what, auto& field, auto... words) {
    app.add_option_function<std::string>(
           name,
           [&field, words...](const std::string& given) {
             ((given == perf::to_string(words) ? void(field = words) : void()), ...);
           },
           what)
        ->check(CLI::IsMember({std::string(perf::to_string(words))...}));
  };
  choose("--op", "Messages, or one-sided transfers, which the client alone asks for", options.op,
         Op::kSend, Op::kWrite, Op::kRead);
  app.add_option("--blocks", options.blocks.count, "Of a write or read: so many blocks")
      ->type_name("N")
      ->check(CLI::Range(std::uint64_t{1}, perf::kMostBlocks));
  const auto size = [&app](const char* name, const char* what, std::uint64_t& field) {
    app.add_option_function<std::string>(
           name,
           [name, &field](const std::string& given) {
             const Result<std::uint64_t> bytes = parse_number(given);
             if (!bytes.ok() || *bytes < 1 || *bytes > perf::kLargestMessage) {
               throw CLI::ValidationError(name, given + " is no size of 1 to 8GiB");
             }
             field = *bytes;
           },
           what)
        ->type_name("SIZE");
  };
  size("--block-size", "Of this size each; instead of --size", options.blocks.bytes);
  choose("--layout", "How the blocks lie at both ends", options.blocks.order,
         BlockOrder::kContiguous, BlockOrder::kRandom, BlockOrder::kStrided);
  size("--beside", "Keep two more under way all the time, each of this size and of normal priority",
       options.beside);
  app.add_option_function<std::string>(
         "--priority", [&options](const std::string& word) { options.urgent = word == "urgent"; },
         "Of the writes or reads that are measured")
      ->check(CLI::IsMember({"normal", "urgent"}));
}

void add_measure_options(CLI::App& app, SettingOptions& settings, MeasureOptions& options) {
  add_plan_options(app, settings, options);
  add_op_options(app, options);
  add_end_options(app, settings, options.end);
  app.add_option("--ensemble-fd", options.ensemble_fd)->group("");
  app.add_option("--member", options.member)->group("");
}

void add_engine_options(CLI::App& app, SettingOptions& settings, EngineChoice& choice) {
  settings.leave_out("gpu");
  app.add_option("--gpus", choice.gpus, "An engine for each of these GPUs: all, or 0,1,...")
      ->type_name("LIST");
  app.add_option("--engines", choice.engines,
                 "So many engines of host memory; by default one a core, where there is no GPU")
      ->type_name("N")
      ->check(CLI::Range(1u, perf::Ensemble::kMostMembers))
      ->excludes("--gpus");
  app.add_option("--map", choice.map, "Which NIC is near which GPU, if you know better: gpu0=eth1")
      ->type_name("MAP");
}

void add_many_options(CLI::App& app, SettingOptions& settings, ManyOptions& options) {
  settings.leave_out("channels");
  app.add_option("--channels", options.channels,
                 "Channels of each engine, 1 to 64; several numbers are measured one after the "
                 "other")
      ->type_name("LIST");
  add_file_option(
      app, "--plot", options.plot,
      "Draw what all engines reach against channels into this SVG, with gnuplot; a name "
      "that ends in .gnuplot gets the commands for it instead");
  add_plan_options(app, settings, options.measure);
  add_op_options(app, options.measure);
  add_engine_options(app, settings, options.engines);
}

void add_drive_option(CLI::App& app, Drive& drive) {
  app.add_option_function<std::string>(
         "--threads",
         [&drive](const std::string& word) {
           drive = word == "own" ? Drive::kOwn : word == "one" ? Drive::kOne : Drive::kCaller;
         },
         "Who drives the engines: caller, a thread each that uses the engine too (the default, as "
         "in `sluice perf`); own, a ProgressThread each; one, a single progress thread for all")
      ->type_name("caller|own|one")
      ->check(CLI::IsMember({"caller", "own", "one"}));
}

}  // namespace sluice::tools
