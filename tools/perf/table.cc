#include "tools/perf/table.h"

#include <fmt/format.h>

#include "src/base/settings.h"

namespace sluice::perf {
namespace {

constexpr char kLine[] = "{:>12}  {:>8}  {:>9}  {:>11}  {:>11}  {:>10}";

constexpr char kEngine[] = "{:>8}";

// Three digits that matter, without an exponent.
std::string number(double value) {
  if (value >= 100) return fmt::format("{:.0f}", value);
  if (value >= 10) return fmt::format("{:.1f}", value);
  if (value >= 1) return fmt::format("{:.2f}", value);
  return fmt::format("{:.3f}", value);
}

std::string size_text(std::uint64_t bytes) {
  const std::string text = format_bytes(bytes);
  return text.ends_with('B') ? text : text + " B";
}

}  // namespace

std::string table_header(bool with_engine) {
  const std::string first = with_engine ? fmt::format(kEngine, "engine") : "";
  const std::string second = with_engine ? fmt::format(kEngine, "") : "";
  return first +
         fmt::format(kLine, "size", "channels", "bandwidth", "latency p50", "latency p99", "CPU") +
         "\n" + second + fmt::format(kLine, "", "", "GB/s", "us", "us", "s/GB");
}

std::string table_row(const ResultRow& row) {
  const std::string engine = row.engine.empty() ? "" : fmt::format(kEngine, row.engine);
  return engine + fmt::format(kLine, size_text(row.size_bytes), row.channels,
                              number(row.gbytes_per_s), number(row.p50_us), number(row.p99_us),
                              row.cpu_s_per_gb.has_value() ? number(*row.cpu_s_per_gb) : "-");
}

std::string verified_line(std::span<const ResultRow> rows) {
  std::uint64_t messages = 0;
  double bytes = 0;
  for (const ResultRow& row : rows) {
    if (row.engine == kAllEngines) continue;  // The others are in it.
    if (row.verified) messages += row.verified_messages;
    if (row.verified) bytes += static_cast<double>(row.verified_messages * row.size_bytes);
  }
  if (messages == 0) return "verified: nothing";
  return fmt::format("verified: every byte of {} messages ({} GB) arrived as it was sent", messages,
                     number(bytes / 1e9));
}

std::string beside_line(std::span<const ResultRow> rows) {
  std::string rates;
  for (const ResultRow& row : rows) {
    if (row.beside_bytes == 0 || row.engine == kAllEngines) continue;
    rates += (rates.empty() ? "" : ", ") + number(row.beside_gbytes_per_s);
  }
  if (rates.empty()) return "";
  return fmt::format("beside them, while latency was measured: {}s of {} at {} GB/s", rows[0].op,
                     size_text(rows[0].beside_bytes), rates);
}

}  // namespace sluice::perf
