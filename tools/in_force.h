// The settings in force: defaults, the environment over them, the command line over both.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/options.h"
#include "sluice/status.h"
#include "src/base/settings.h"

namespace sluice::tools {

struct SettingInForce {
  const Setting* setting;
  std::string value;   // "(set)" in place of a secret.
  std::string source;  // "default", or the environment's name or the option that set it.
};

[[nodiscard]] inline bool is_number(const Setting& setting) { return setting.max != 0; }

class InForce {
 public:
  // kInvalidArgument names the variable that is malformed.
  static Result<InForce> from_environment();

  // Sets one by name; `source` is shown for it.
  Status set(std::string_view name, std::string_view value, std::string source);

  // Sets one unless the environment or set() did: what a command would rather have.
  Status prefer(std::string_view name, std::string_view value, std::string source);

  // Set by an option, whatever the environment says.
  [[nodiscard]] bool on_command_line(std::string_view name) const;

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const PerfOptions& perf() const { return perf_; }

  // In the order of the two tables.
  [[nodiscard]] std::vector<SettingInForce> engine_settings() const;
  [[nodiscard]] std::vector<SettingInForce> perf_settings() const;
  [[nodiscard]] std::vector<SettingInForce> all_settings() const;

  // "name=value" for each engine setting that the command line set, except secrets: what makes a
  // child process with the same environment use the same.
  [[nodiscard]] std::vector<std::string> overrides() const;

 private:
  template <typename Owner>
  std::vector<SettingInForce> list(std::span<const Setting> table, const Owner& owner) const;

  Options options_;
  PerfOptions perf_;
  std::vector<std::pair<std::string, std::string>> sources_;  // name, source; the last one counts
};

}  // namespace sluice::tools
