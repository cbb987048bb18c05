#include "tools/measure_many.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "tools/perf/machine.h"
#include "tools/perf/plot.h"
#include "tools/perf/report.h"
#include "tools/perf/table.h"
#include "tools/perf/total.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

constexpr std::chrono::milliseconds kLook{5};

// The members' rows of one size; nothing while one is missing.
std::optional<std::vector<perf::ResultRow>> rows_of(const perf::Ensemble& ensemble,
                                                    std::uint32_t index) {
  std::vector<perf::ResultRow> rows;
  for (std::uint32_t member = 0; member < ensemble.members(); ++member) {
    auto row = ensemble.row(member, index);
    if (!row.has_value()) return std::nullopt;
    rows.push_back(std::move(*row));
  }
  return rows;
}

void show(std::vector<perf::ResultRow> rows, const std::vector<EnginePlace>& places,
          const std::string& net, std::vector<perf::ResultRow>& all) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].engine = places[i].name;
    rows[i].net = net;
    print(perf::table_row(rows[i]));
  }
  const perf::ResultRow total = perf::total_of(rows);
  print(perf::table_row(total));
  all.insert(all.end(), rows.begin(), rows.end());
  all.push_back(total);
}

Status measure_once(const InForce& in_force, std::uint32_t sizes,
                    const std::vector<EnginePlace>& places, const StartMembers& start,
                    std::vector<perf::ResultRow>& all) {
  const auto ensemble = perf::Ensemble::create(static_cast<std::uint32_t>(places.size()));
  if (!ensemble.ok()) return ensemble.status();
  const auto members = start(**ensemble, in_force);
  if (!members.ok()) return members.status();
  for (std::uint32_t shown = 0; shown < sizes;) {
    const bool ended = (*members)->ended();  // Looked at first: rows come before the end.
    if (auto rows = rows_of(**ensemble, shown); rows.has_value()) {
      show(std::move(*rows), places, in_force.options().net, all);
      ++shown;
    } else if (ended || stop_requested()) {
      break;  // outcome() says why.
    } else {
      std::this_thread::sleep_for(kLook);
    }
  }
  return (*members)->outcome();
}

Status write_results(std::string_view command, const Target& target, const InForce& in_force,
                     const ManyOptions& options, const std::vector<perf::ResultRow>& rows) {
  if (!options.measure.json.empty()) {
    Status status = perf::write_file(
        options.measure.json,
        perf::report_json(rows, in_force.all_settings(), perf::describe_machine()));
    if (!status.ok()) return status;
  }
  if (options.plot.empty()) return {};
  std::vector<perf::ResultRow> totals;
  for (const perf::ResultRow& row : rows) {
    if (row.engine == perf::kAllEngines) totals.push_back(row);
  }
  const std::string title = fmt::format("sluice {} to {}, all engines", command, target.name);
  return perf::draw(perf::bandwidth_plot(totals, title), options.plot);
}

}  // namespace

Status check_many(const InForce& in_force, const ManyOptions& options) {
  const auto plan = plan_of(in_force, options.measure);
  if (!plan.ok()) return plan.status();
  const auto channels = parse_channels(options.channels.empty() ? "1" : options.channels);
  if (!channels.ok()) return channels.status().with_context("--channels");
  if (Status status = perf::check_writable(options.measure.json); !status.ok()) return status;
  return perf::check_writable(options.plot);
}

int measure_many(std::string_view command, const Target& target, const InForce& in_force,
                 const ManyOptions& options, const std::vector<EnginePlace>& places,
                 const StartMembers& start) {
  const auto plan = plan_of(in_force, options.measure);
  if (!plan.ok()) return usage(plan.status());
  std::vector<std::uint32_t> counts{in_force.options().channels};
  if (!options.channels.empty()) {
    auto parsed = parse_channels(options.channels);
    if (!parsed.ok()) return usage(parsed.status().with_context("--channels"));
    counts = parsed.take();
  }
  if (!options.plot.empty()) {
    if (Status status = perf::can_draw(options.plot); !status.ok()) return exit_status(status);
  }
  print(headline(command, target, in_force, *plan, memory_of(places)) + perf::table_header(true));
  std::vector<perf::ResultRow> rows;
  for (const std::uint32_t count : counts) {
    InForce one = in_force;
    Status status;
    if (count != 0) status = one.set("channels", std::to_string(count), "--channels");
    const auto sizes = static_cast<std::uint32_t>(plan->sizes.size());
    if (status.ok()) status = measure_once(one, sizes, places, start, rows);
    if (!status.ok()) return exit_status(status);
  }
  if (const std::string beside = perf::beside_line(rows); !beside.empty()) print(beside);
  print(perf::verified_line(rows));
  return exit_status(write_results(command, target, in_force, options, rows));
}

}  // namespace sluice::tools
