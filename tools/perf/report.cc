#include "tools/perf/report.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "src/base/fd.h"

namespace sluice::perf {
namespace {

// Keeps the order of keys that the documentation shows.
using Json = nlohmann::ordered_json;

Json row_json(const ResultRow& row) {
  Json cpu;  // null: no bytes were moved
  if (row.cpu_s_per_gb.has_value()) cpu = *row.cpu_s_per_gb;
  Json json;
  if (!row.engine.empty()) json["engine"] = row.engine;
  json.update({{"op", row.op},
               {"size_bytes", row.size_bytes},
               {"channels", row.channels},
               {"net", row.net},
               {"gbytes_per_s", row.gbytes_per_s},
               {"p50_us", row.p50_us},
               {"p99_us", row.p99_us},
               {"cpu_s_per_gb", cpu},
               {"verified", row.verified},
               {"memory", row.memory},
               {"direction", row.direction},
               {"iterations", row.iterations},
               {"latency_iterations", row.latency_iterations},
               {"verified_messages", row.verified_messages},
               {"passes", row.counters.passes},
               {"empty_passes", row.counters.empty_passes},
               {"wake_ups", row.counters.wake_ups},
               {"engine_cpu_s", static_cast<double>(row.counters.cpu_ns) / 1e9}});
  if (row.op != "send") {
    json.update({{"blocks", row.blocks},
                 {"block_bytes", row.block_bytes},
                 {"layout", row.layout},
                 {"post_us", row.post_us},
                 {"priority", row.urgent ? "urgent" : "normal"}});
  }
  if (row.beside_bytes > 0) {
    json["beside_bytes"] = row.beside_bytes;
    json["beside_gbytes_per_s"] = row.beside_gbytes_per_s;
  }
  return json;
}

Json setting_json(const tools::SettingInForce& entry) {
  if (!tools::is_number(*entry.setting)) return entry.value;
  const Result<std::uint64_t> number = parse_number(entry.value);
  return number.ok() ? Json(*number) : Json(entry.value);
}

Json machine_json(const Machine& machine) {
  return {{"cpu", machine.cpu},
          {"cores", machine.cores},
          {"memory_bytes", machine.memory_bytes},
          {"kernel", machine.kernel},
          {"congestion_control", machine.congestion_control},
          {"transparent_huge_pages", machine.transparent_huge_pages}};
}

}  // namespace

std::string report_json(std::span<const ResultRow> rows,
                        std::span<const tools::SettingInForce> settings, const Machine& machine) {
  Json document{{"results", Json::array()}, {"settings", Json::object()}};
  for (const ResultRow& row : rows) document["results"].push_back(row_json(row));
  for (const tools::SettingInForce& entry : settings) {
    document["settings"][entry.setting->name] = setting_json(entry);
  }
  document["machine"] = machine_json(machine);
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status check_writable(const std::string& path) {
  const auto refuse = [&](int error) {
    return Status::from_errno(error, fmt::format("cannot write {}", path));
  };
  if (path.empty()) return {};
  struct stat there {};
  if (::stat(path.c_str(), &there) == 0) {
    if (S_ISDIR(there.st_mode)) return refuse(EISDIR);
    return ::access(path.c_str(), W_OK) == 0 ? Status() : refuse(errno);
  }
  // The only way to ask whether a folder takes a file of this name.
  const Fd made(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!made.valid()) return refuse(errno);
  ::unlink(path.c_str());
  return {};
}

Status write_file(const std::string& path, std::string_view content) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return Status::from_errno(errno, fmt::format("cannot write {}", path));
  const bool written = std::fwrite(content.data(), 1, content.size(), file) == content.size();
  const int error = errno;
  // A full disk may show only here.
  const bool closed = std::fclose(file) == 0;
  if (!written) return Status::from_errno(error, fmt::format("cannot write {}", path));
  if (!closed) return Status::from_errno(errno, fmt::format("cannot write {}", path));
  return {};
}

}  // namespace sluice::perf
