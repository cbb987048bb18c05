#include "tools/in_force.h"

#include <algorithm>

namespace sluice::tools {
namespace {

constexpr char kSecret[] = "token";
constexpr char kDefault[] = "default";

std::string with_underscores(std::string_view name) {
  std::string result(name);
  std::replace(result.begin(), result.end(), '-', '_');
  return result;
}

}  // namespace

Result<InForce> InForce::from_environment() {
  InForce result;
  Result<Options> options = options_from_environment();
  if (!options.ok()) return options.status();
  Result<PerfOptions> perf = perf_options_from_environment();
  if (!perf.ok()) return perf.status();
  result.options_ = options.take();
  result.perf_ = perf.take();
  return result;
}

Status InForce::set(std::string_view name, std::string_view value, std::string source) {
  Status status = set_option(options_, name, value);
  if (status.code() == StatusCode::kNotFound) {
    const Status perf = set_option(perf_, name, value);
    // Of two names that are near, the engine's is told: perf's have options of their own.
    const bool near = status.message().find("nearest") != std::string_view::npos;
    if (perf.code() != StatusCode::kNotFound || !near) status = perf;
  }
  if (status.ok()) sources_.emplace_back(with_underscores(name), std::move(source));
  return status;
}

Status InForce::prefer(std::string_view name, std::string_view value, std::string source) {
  for (const SettingInForce& entry : all_settings()) {
    if (entry.setting->name == name && entry.source != kDefault) return {};
  }
  return set(name, value, std::move(source));
}

bool InForce::on_command_line(std::string_view name) const {
  return std::any_of(sources_.begin(), sources_.end(), [&](const auto& entry) {
    return entry.first == name && entry.second.starts_with("--");
  });
}

template <typename Owner>
std::vector<SettingInForce> InForce::list(std::span<const Setting> table,
                                          const Owner& owner) const {
  std::vector<SettingInForce> result;
  for (const Setting& setting : table) {
    SettingInForce entry{&setting, get_option(owner, setting.name),
                         std::string(environment_source(setting))};
    if (entry.source.empty()) entry.source = kDefault;
    for (const auto& [name, source] : sources_) {
      if (name == setting.name) entry.source = source;
    }
    if (setting.name == std::string_view(kSecret) && !entry.value.empty()) entry.value = "(set)";
    result.push_back(std::move(entry));
  }
  return result;
}

std::vector<SettingInForce> InForce::engine_settings() const { return list(settings(), options_); }

std::vector<SettingInForce> InForce::perf_settings() const {
  return list(::sluice::perf_settings(), perf_);
}

std::vector<SettingInForce> InForce::all_settings() const {
  std::vector<SettingInForce> result = engine_settings();
  for (SettingInForce& entry : perf_settings()) result.push_back(std::move(entry));
  return result;
}

std::vector<std::string> InForce::overrides() const {
  std::vector<std::string> result;
  for (const Setting& setting : settings()) {
    const auto is_this = [&](const auto& entry) { return entry.first == setting.name; };
    if (setting.name == std::string_view(kSecret)) continue;
    if (std::none_of(sources_.begin(), sources_.end(), is_this)) continue;
    result.push_back(std::string(setting.name) + "=" + get_option(options_, setting.name));
  }
  return result;
}

}  // namespace sluice::tools
