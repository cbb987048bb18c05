// What the subcommands share of the command line: options made from the table of settings, and how
// a command ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sluice/status.h"
#include "tools/in_force.h"

namespace CLI {
class App;
class Option;
class ParseError;
}  // namespace CLI

namespace sluice::tools {

// Exit statuses.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;  // It was tried, and one sentence on stderr says what went wrong.
inline constexpr int kUsage = 2;  // It was not tried: the command line or the environment is wrong.

// One line on stderr.
void complain(std::string_view sentence);
int fail(const Status& status);
int usage(const Status& status);

// Options of one subcommand that are settings. Their values are taken as text and checked by the
// table of settings, so that ranges and messages are the same wherever a value comes from.
class SettingOptions {
 public:
  // Must outlive the parsing of `app`.
  explicit SettingOptions(CLI::App& app) : app_(app) {}

  // `flags` as for CLI11 ("--chunk,--chunk-bytes"); the help is the setting's own. The first flag
  // is what `sluice settings` calls the source.
  void add(const std::string& flags, std::string_view setting);
  // Leaves one out: the command has an option of its own with this name.
  void leave_out(std::string_view setting) { added_.emplace_back(setting); }
  // Every engine setting that was not added or left out, hidden from the help; --set NAME=VALUE.
  void add_rest();

  // Sets what was given, in the order of the command line.
  Status apply(InForce& in_force) const;

 private:
  struct Given {
    std::string name;
    std::string value;
    std::string source;
  };
  void add_hidden(const Setting& setting);

  CLI::App& app_;
  std::vector<std::string> added_;
  std::vector<std::string> assignments_;  // Of --set.
  std::vector<Given> given_;
};

// An option that names a file to write; an empty name is refused.
CLI::Option* add_file_option(CLI::App& app, const std::string& flag, std::string& path,
                             const std::string& description);

// Settings that have no place in the help are in a group of their own, which it leaves out: CLI11
// would not name what it hides itself in its errors. To be called before subcommands are added.
void leave_out_hidden(CLI::App& app);

// Breaks the lines of all descriptions, also of subcommands, which CLI11 leaves as they are.
void wrap_help(CLI::App& app);

// The sentence for what CLI11 did not understand: names the nearest option or subcommand.
[[nodiscard]] std::string explain(const CLI::App& app, const CLI::ParseError& error);

}  // namespace sluice::tools
