#include "tools/probe/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "src/net/plugin/abi.h"

namespace sluice::probe {
namespace {

constexpr char kLine[] = "{:<27} {:<10} {:<42} {}\n";

std::size_t count(std::span<const Row> rows, Verdict verdict) {
  return static_cast<std::size_t>(std::count_if(
      rows.begin(), rows.end(), [&](const Row& row) { return row.finding.verdict == verdict; }));
}

std::string pointers_text(int support) {
  std::string text;
  if ((support & nccl_abi::kPointerHost) != 0) text += "host ";
  if ((support & nccl_abi::kPointerCuda) != 0) text += "cuda ";
  if ((support & nccl_abi::kPointerDmaBuf) != 0) text += "dmabuf ";
  return text;
}

}  // namespace

std::string description_text(std::string_view file, const nlohmann::json& facts) {
  std::string tables;
  for (const auto& version : facts.value("tables", nlohmann::json::array())) {
    tables += fmt::format(" v{}", version.get<int>());
  }
  std::string text = fmt::format("plugin   {}\ntables   has{}; used: v{}, named {}\n", file, tables,
                                 facts.value("version", 0), facts.value("name", ""));
  for (const auto& device : facts.value("devices", nlohmann::json::array())) {
    const bool unpack = device.value("device_type", 0) == nccl_abi::kDeviceUnpack;
    const std::string path = device.value("pci_path", "");
    text += fmt::format("device   {}: {}, {} Mbit/s, memory {}delivered {}, {}\n",
                        device.value("device", 0), device.value("name", ""),
                        device.value("speed_mbits", 0),
                        pointers_text(device.value("pointer_support", 0)),
                        unpack ? "in fragments" : "in place", path.empty() ? "no PCI path" : path);
  }
  return text;
}

std::string table_header() { return fmt::format(kLine, "CASE", "VERDICT", "ASKS", "SEEN"); }

std::string table_row(const Row& row) {
  std::string text =
      fmt::format(kLine, row.name, to_string(row.finding.verdict), row.asks, row.finding.seen);
  text.erase(text.find_last_not_of(" \n") + 1);
  text += '\n';
  if (!row.finding.consequence.empty()) {
    text += fmt::format("{:<38} so: {}\n", "", row.finding.consequence);
  }
  return text;
}

std::string summary_line(std::span<const Row> rows) {
  return fmt::format("{} cases: {} passed, {} deviations, {} failed\n", rows.size(),
                     count(rows, Verdict::kPass), count(rows, Verdict::kDeviation),
                     count(rows, Verdict::kFail));
}

nlohmann::json report_json(std::string_view file, const nlohmann::json& facts,
                           std::span<const Row> rows) {
  nlohmann::json cases = nlohmann::json::array();
  for (const Row& row : rows) {
    cases.push_back({{"case", row.name},
                     {"asks", row.asks},
                     {"verdict", to_string(row.finding.verdict)},
                     {"seen", row.finding.seen},
                     {"consequence", row.finding.consequence}});
  }
  return {{"file", file},
          {"plugin", facts},
          {"cases", cases},
          {"passed", count(rows, Verdict::kPass)},
          {"deviations", count(rows, Verdict::kDeviation)},
          {"failed", count(rows, Verdict::kFail)}};
}

int exit_status_of(std::span<const Row> rows) {
  return count(rows, Verdict::kPass) == rows.size() ? 0 : 1;
}

}  // namespace sluice::probe
