#include "tools/perf_common.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "src/base/cores.h"
#include "src/base/settings.h"
#include "tools/perf/machine.h"
#include "tools/perf/memory.h"
#include "tools/perf/progress_bar.h"
#include "tools/perf/report.h"
#include "tools/perf/table.h"
#include "tools/stop.h"

namespace sluice::tools {
void print(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void say_that_it_waits() { std::fputs("waiting: the server has another client\n", stderr); }

std::string headline(std::string_view command, const Target& target, const InForce& in_force,
                     const perf::Plan& plan, std::string_view memory) {
  const Options& options = in_force.options();
  return fmt::format(
      "sluice {}: to {} over {}, {} memory, {}, chunk {}, window {}\n"
      "GB are 1e9 bytes, latency is {}, CPU that of both ends\n",
      command, target.name, options.net, memory,
      plan.both_directions ? "both directions at once" : "one direction",
      format_bytes(options.chunk_bytes), options.window,
      plan.op == perf::Op::kSend ? "half of a round trip" : "from asking to the completion");
}

perf::Threading threading_of(const EndOptions& options) {
  return options.progress_thread ? perf::Threading::kProgressThread : perf::Threading::kCaller;
}

Result<Memory> memory_of(const EndOptions& options) {
  const Result<Memory> memory = perf::choose_memory(options.gpu);
  if (memory.ok() || !options.host_instead) return memory;
  complain(fmt::format("{}; measuring host memory", memory.status().message()));
  return Memory::kHost;
}

Status prepare_end(const EndOptions& options) {
  if (Status status = run_on_cores(options.cores); !status.ok()) return status;
  return options.host_instead ? Status() : memory_of(options).status();
}

Options engine_options(const InForce& in_force, const EndOptions& options, Memory memory) {
  Options engine = in_force.options();
  if (memory == Memory::kCuda) engine.gpu = fmt::format("{}", options.gpu);
  return engine;
}

namespace {

// Recordings are written when something goes wrong, or at the end: too late to find out.
Status check_recorder_dir(const std::string& folder) {
  if (folder.empty() || ::access((folder + "/.").c_str(), W_OK | X_OK) == 0) return {};
  return Status::from_errno(errno, fmt::format("recorder_dir: cannot write into {}", folder));
}

}  // namespace

Result<InForce> settings_in_force(const SettingOptions& settings, bool is_child) {
  Result<InForce> in_force = InForce::from_environment();
  if (!in_force.ok()) return in_force.status();
  if (Status status = settings.apply(*in_force); !status.ok()) return status;
  if (Status status = check_recorder_dir(in_force->options().recorder_dir); !status.ok()) {
    return status;
  }
  if (is_child) return in_force;
  for (const std::string& line : unknown_environment()) complain(line);
  return in_force;
}

Result<InForce> measuring_settings(const SettingOptions& settings, bool is_child) {
  Result<InForce> in_force = settings_in_force(settings, is_child);
  if (!in_force.ok()) return in_force;
  if (Status status = prefer_client_settings(*in_force); !status.ok()) return status;
  return in_force;
}

Status prefer_client_settings(InForce& in_force) {
  return in_force.prefer("log_level", "error", "default of clients");
}

Result<perf::Plan> plan_of(const InForce& in_force, const MeasureOptions& options) {
  Result<perf::Plan> plan = perf::make_plan(in_force.perf(), options.both_directions);
  if (!plan.ok()) return plan;
  const bool blocks = options.blocks.count > 1 || options.blocks.bytes > 0;
  const bool in_order = options.blocks.order == perf::BlockOrder::kContiguous;
  const auto wrong = [](const char* why) { return Status(StatusCode::kInvalidArgument, why); };
  if (options.op == perf::Op::kSend) {
    if (options.beside > 0) return wrong("--beside is for --op write and --op read");
    if (options.urgent) return wrong("--priority urgent is for --op write and --op read");
    if (!in_order) return wrong("--layout is for --op write and --op read");
    return blocks ? wrong("blocks are for --op write and --op read") : plan;
  }
  if (options.both_directions) return wrong("--both-directions is for messages");
  if (blocks && options.blocks.bytes == 0) return wrong("--blocks needs a --block-size");
  if (!blocks && !in_order) return wrong("--layout is of --blocks, and none are asked for");
  // A child is told all settings by its parent.
  if (blocks && options.ensemble_fd < 0 && in_force.on_command_line("perf_size")) {
    return wrong("--size contradicts --blocks and --block-size, which make up the size");
  }
  if (blocks && options.blocks.span() > perf::kLargestMessage) {
    return wrong("so many blocks of that size are more than 8 GiB");
  }
  plan->op = options.op;
  plan->blocks = options.blocks;
  plan->beside = options.beside;
  plan->urgent = options.urgent;
  if (blocks) plan->sizes = {options.blocks.count * options.blocks.bytes};
  return plan;
}

Result<std::vector<std::uint32_t>> parse_channels(std::string_view list) {
  std::vector<std::uint32_t> result;
  while (true) {
    const std::size_t end = std::min(list.find(','), list.size());
    Options checked;
    const Status status = set_option(checked, "channels", list.substr(0, end));
    if (!status.ok() || checked.channels == 0) {  // 0 is a default, and no number to measure.
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("\"{}\" is no number of channels, legal are 1 to 64, separated by "
                                "commas",
                                list.substr(0, end)));
    }
    result.push_back(checked.channels);
    if (end == list.size()) return result;
    list.remove_prefix(end + 1);
  }
}

Result<Target> make_target(const std::string& host, const InForce& in_force) {
  const std::uint16_t port = in_force.perf().perf_port;
  Result<std::string> address = make_address(host, port, in_force.options().token);
  if (!address.ok()) return address.status();
  return Target{address.take(), fmt::format("{}:{}", host, port)};
}

std::string server_name(const Target& target) {
  return target.own ? "the server on loopback" : "server " + target.name;
}

Status measure(const Target& target, const InForce& in_force, const MeasureOptions& options,
               bool with_header, std::vector<perf::ResultRow>& rows) {
  const Result<perf::Plan> plan = plan_of(in_force, options);
  if (!plan.ok()) return plan.status();
  std::unique_ptr<perf::Ensemble> ensemble;
  if (options.ensemble_fd >= 0) {
    auto joined = perf::Ensemble::join(options.ensemble_fd);
    if (!joined.ok()) return joined.status();
    end_with_parent();
    ensemble = joined.take();
  }
  const bool alone = ensemble == nullptr;  // Otherwise the parent shows what was measured.
  const Result<Memory> found = memory_of(options.end);
  if (!found.ok()) return found.status();
  const Memory memory = *found;
  perf::ProgressBar bar(2 * plan->sizes.size(), alone && perf::stderr_is_terminal());
  auto client = perf::Client::connect({.engine = engine_options(in_force, options.end, memory),
                                       .threading = threading_of(options.end),
                                       .ensemble = ensemble.get(),
                                       .member = options.member,
                                       .memory = memory,
                                       .address = target.address,
                                       .server = server_name(target),
                                       .interrupted = stop_requested,
                                       .on_busy_server = say_that_it_waits});
  if (!client.ok()) return client.status();
  if (with_header && alone) {
    print(headline("perf", target, in_force, *plan, perf::to_string(memory)) +
          perf::table_header());
  }
  for (const std::uint64_t size : plan->sizes) {
    Result<perf::ResultRow> row = (*client)->measure(size, *plan, [&](perf::Phase phase) {
      bar.step(fmt::format("{} {}", format_bytes(size),
                           phase == perf::Phase::kBandwidth ? "bandwidth" : "latency"));
    });
    bar.clear();
    if (!row.ok()) return row.status();
    if (alone) print(perf::table_row(*row));
    if (!alone) ensemble->add_row(options.member, *row);
    rows.push_back(row.take());
  }
  return {};
}

int measure_and_report(const Target& target, const InForce& in_force,
                       const MeasureOptions& options) {
  std::vector<perf::ResultRow> rows;
  Status status = measure(target, in_force, options, true, rows);
  if (!status.ok()) return exit_status(status);
  if (options.ensemble_fd >= 0) return kDone;
  if (const std::string beside = perf::beside_line(rows); !beside.empty()) print(beside);
  print(perf::verified_line(rows));
  if (!options.json.empty()) {
    status = perf::write_file(
        options.json, perf::report_json(rows, in_force.all_settings(), perf::describe_machine()));
  }
  return exit_status(status);
}

int exit_status(const Status& status) {
  constexpr int kInterrupted = 130;  // As a shell tells it.
  if (status.ok()) return kDone;
  complain(status.message());
  return stop_requested() ? kInterrupted : kFailed;
}

}  // namespace sluice::tools
