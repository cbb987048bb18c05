#include "tools/settings_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "src/base/settings.h"

namespace sluice::tools {
namespace {

constexpr char kIntroduction[] = R"(# Configuration

<!-- Printed by `sluice settings --markdown`; a test compares the two. -->

Every setting has a name, an environment variable and, in the commands of `sluice`, an option: the
name with dashes, or `--set NAME=VALUE`. A program sets the fields of `sluice::Options`
(`include/sluice/options.h`), or has `sluice::options_from_environment()` fill them.

The command line overrides the environment, which overrides the default. Numbers take the suffixes
K, M, G and KiB, MiB, GiB, all powers of 1024. A value that is malformed or out of range is an
error wherever it comes from; `sluice settings` shows the values in force and where each comes from.
)";

// A value for people: bytes with a unit.
std::string shown(const Setting& setting, const std::string& value) {
  if (value.empty()) return "(empty)";
  if (std::string_view(setting.unit).empty()) return value;
  if (std::string_view(setting.unit) != "bytes") return fmt::format("{} {}", value, setting.unit);
  const Result<std::uint64_t> number = parse_number(value);
  return number.ok() ? format_bytes(*number) : value;
}

std::string aligned(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths(lines.front().size(), 0);
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (std::size_t i = 0; i < line.size(); ++i) {
      row += fmt::format("{:<{}}  ", line[i], widths[i]);
    }
    text += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::vector<std::string> line_of(const SettingInForce& entry) {
  return {entry.setting->name, shown(*entry.setting, entry.value), entry.source,
          legal_values(*entry.setting)};
}

// In a cell of a table a bar would end it.
std::string cell(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '|') result += '\\';
    result += c;
  }
  return result;
}

template <typename Owner>
std::string markdown_table(std::span<const Setting> table, const Owner& defaults) {
  std::string text =
      "| name | environment | default | legal | what it does, when to touch it |\n"
      "|---|---|---|---|---|\n";
  for (const Setting& setting : table) {
    std::string environment = fmt::format("`{}`", setting.environment);
    if (setting.alias[0] != '\0') environment += fmt::format(", or `{}`", setting.alias);
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", setting.name, environment,
                        shown(setting, get_option(defaults, setting.name)),
                        cell(legal_values(setting)), cell(setting.why));
  }
  return text;
}

}  // namespace

std::string settings_table(const InForce& in_force) {
  std::vector<std::vector<std::string>> lines{{"setting", "value", "from", "legal"}};
  for (const SettingInForce& entry : in_force.engine_settings()) lines.push_back(line_of(entry));
  for (const SettingInForce& entry : in_force.perf_settings()) lines.push_back(line_of(entry));
  return aligned(lines) +
         "\nThose that begin with perf_ are sluice perf's; docs/configuration.md says what each "
         "does.\n";
}

std::string settings_markdown() {
  return std::string(kIntroduction) + "\n## The engine\n\n" +
         markdown_table(settings(), Options{}) + "\n## `sluice perf`\n\n" +
         "Its options have these names without `perf_`.\n\n" +
         markdown_table(perf_settings(), PerfOptions{}) + "\n## `libnccl-net-sluice.so`\n\n" +
         "Read from the environment alone, as are those of the engine that it heeds "
         "(docs/nccl-plugin.md).\n\n" +
         markdown_table(nccl_settings(), NcclOptions{});
}

}  // namespace sluice::tools
