#include "tools/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

namespace sluice::tools {
namespace {

constexpr char kHidden[] = "hidden";

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    if (group == kHidden) return "";
    return CLI::Formatter::make_group(std::move(group), is_positional, std::move(options));
  }
};

const Setting* find_setting(std::string_view name) {
  for (const auto table : {settings(), ::sluice::perf_settings()}) {
    for (const Setting& setting : table) {
      if (name == setting.name) return &setting;
    }
  }
  return nullptr;
}

// What the help says is expected.
std::string type_of(const Setting& setting) {
  if (std::string_view(setting.unit) == "bytes") return "BYTES";
  return is_number(setting) ? "N" : "TEXT";
}

std::string help_of(const Setting& setting) {
  if (!is_number(setting) && setting.choices[0] == '\0') return setting.why;
  return fmt::format("{} ({})", setting.why, legal_values(setting));
}

std::string wrapped(const std::string& text, std::size_t width) {
  std::string result;
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::size_t word = end - at;
    if (line > 0 && line + 1 + word > width) {
      result += '\n';
      line = 0;
    } else if (line > 0) {
      result += ' ';
      ++line;
    }
    result += text.substr(at, word);
    line += word;
    at = end + 1;
  }
  return result;
}

// The subcommand that the command line came to.
const CLI::App* deepest(const CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

std::string path_of(const CLI::App* app) {
  std::string path = app->get_name();
  for (app = app->get_parent(); app != nullptr; app = app->get_parent()) {
    path = app->get_name() + " " + path;
  }
  return path;
}

}  // namespace

void leave_out_hidden(CLI::App& app) { app.formatter(std::make_shared<HelpFormatter>()); }

void wrap_help(CLI::App& app) {
  constexpr std::size_t kWidth = 96;
  constexpr std::size_t kOptionColumn = 28;
  app.get_formatter()->column_width(kOptionColumn);
  const bool is_subcommand = app.get_parent() != nullptr;
  app.description(wrapped(app.get_description(), is_subcommand ? kWidth - kOptionColumn : kWidth));
  for (CLI::Option* option : app.get_options()) {
    option->description(wrapped(option->get_description(), kWidth - kOptionColumn));
  }
  for (CLI::App* subcommand : app.get_subcommands([](CLI::App*) { return true; })) {
    wrap_help(*subcommand);
  }
}

void complain(std::string_view sentence) {
  std::fprintf(stderr, "sluice: %.*s\n", static_cast<int>(sentence.size()), sentence.data());
}

int fail(const Status& status) {
  complain(status.message());
  return kFailed;
}

int usage(const Status& status) {
  complain(status.message());
  return kUsage;
}

CLI::Option* add_file_option(CLI::App& app, const std::string& flag, std::string& path,
                             const std::string& description) {
  const auto check = [](const std::string& given) {
    return given.empty() ? std::string("the name of a file is expected") : std::string();
  };
  return app.add_option(flag, path, description)->type_name("FILE")->check(check);
}

void SettingOptions::add(const std::string& flags, std::string_view name) {
  const Setting& setting = *find_setting(name);
  const std::string source = flags.substr(0, flags.find(','));
  added_.emplace_back(name);
  app_.add_option_function<std::string>(
          flags,
          [this, source, name = std::string(name)](const std::string& value) {
            given_.push_back({name, value, source});
          },
          help_of(setting))
      ->type_name(type_of(setting));
}

void SettingOptions::add_hidden(const Setting& setting) {
  std::string flag = std::string("--") + setting.name;
  std::replace(flag.begin(), flag.end(), '_', '-');
  add(flag, setting.name);
  app_.get_option(flag)->group(kHidden);
}

void SettingOptions::add_rest() {
  for (const Setting& setting : settings()) {
    if (std::find(added_.begin(), added_.end(), setting.name) == added_.end()) add_hidden(setting);
  }
  app_.add_option("--set", assignments_,
                  "Any setting that `sluice settings` lists; each is also an option: "
                  "--peer-timeout-ms 5000")
      ->type_name("NAME=VALUE")
      ->take_all()
      ->allow_extra_args(false);
}

Status SettingOptions::apply(InForce& in_force) const {
  const auto set = [&](const std::string& name, const std::string& value,
                       const std::string& source) { return in_force.set(name, value, source); };
  for (const std::string& assignment : assignments_) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      return {StatusCode::kInvalidArgument,
              fmt::format("--set {}: not of the form NAME=VALUE", assignment)};
    }
    Status status = set(assignment.substr(0, equals), assignment.substr(equals + 1), "--set");
    if (!status.ok()) return status.with_context("--set");
  }
  for (const Given& given : given_) {
    Status status = set(given.name, given.value, given.source);
    if (!status.ok()) return status.with_context(given.source);
  }
  return {};
}

std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = deepest(&app);
  const std::string see = fmt::format("(`{} --help` lists what there is)", path_of(at));
  const std::vector<std::string> extras = app.remaining(true);
  if (extras.empty()) return fmt::format("{} {}", error.what(), see);

  std::vector<std::string> names;
  for (const CLI::Option* option : at->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* subcommand : at->get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(subcommand->get_name());
  }
  std::string unknown = extras.front();
  for (const std::string& extra : extras) {
    if (extra.starts_with('-')) unknown = extra;
  }
  const std::string_view word = std::string_view(unknown).substr(0, unknown.find('='));
  const bool is_option = word.starts_with('-');
  std::vector<std::string_view> candidates;
  for (const std::string& name : names) {
    if (name.starts_with('-') == is_option) candidates.push_back(name);
  }
  const std::string_view nearest = nearest_name(candidates, word);
  if (nearest.empty()) return fmt::format("{} is not expected here {}", word, see);
  return fmt::format("{} is not {}, the nearest is {} {}", word,
                     is_option ? "an option here" : "a command here", nearest, see);
}

}  // namespace sluice::tools
