#include "tests/emulator/launcher_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace sluice::emulator {
namespace {

constexpr int kMostGpus = 64;

Status invalid(std::string message) {
  return Status(StatusCode::kInvalidArgument, std::move(message));
}

Status set_option(LauncherOptions& options, std::string_view name, std::string_view value) {
  if (name == "device") {
    if (value != "auto" && value != "host" && value != "cuda") {
      return invalid(fmt::format("'{}' for device: not auto, host or cuda", value));
    }
    options.device = value == "host"   ? DeviceKind::kHost
                     : value == "cuda" ? DeviceKind::kCuda
                                       : DeviceKind::kAuto;
    return {};
  }
  if (name == "gpu") {
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, options.gpu);
    if (error != std::errc() || stop != end || options.gpu < 0 || options.gpu >= kMostGpus) {
      return invalid(
          fmt::format("'{}' for gpu: not a whole number from 0 to {}", value, kMostGpus - 1));
    }
    return {};
  }
  if (name == "report") {
    options.report = value;
    return value.empty() ? invalid("report: no file name") : Status();
  }
  const auto entries = setting_entries();
  const auto entry = std::find_if(entries.begin(), entries.end(),
                                  [&](const SettingEntry& e) { return e.option == name; });
  if (entry == entries.end()) {
    return invalid(fmt::format("no option --{}; see --help", name));
  }
  const std::string wrong = set(options.settings, *entry, value);
  return wrong.empty() ? Status() : invalid(wrong);
}

}  // namespace

Result<LauncherOptions> parse_options(std::span<const char* const> arguments,
                                      const Settings& defaults) {
  LauncherOptions options;
  options.settings = defaults;
  std::size_t i = 0;
  for (; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--") {
      ++i;
      break;
    }
    if (!argument.starts_with("-")) break;
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (!argument.starts_with("--")) {
      return invalid(fmt::format("no option {}; see --help", argument));
    }
    argument.remove_prefix(2);
    std::string_view value;
    if (const std::size_t equals = argument.find('='); equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
      argument = argument.substr(0, equals);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return invalid(fmt::format("--{} wants a value; see --help", argument));
    }
    if (Status status = set_option(options, argument, value); !status.ok()) return status;
  }
  for (; i < arguments.size(); ++i) options.command.emplace_back(arguments[i]);
  if (options.command.empty()) return invalid("no command to run; see --help");
  return options;
}

std::string help_text() {
  std::string text =
      "usage: sluice-tcpx-emulator [OPTIONS] -- COMMAND [ARGUMENTS]\n\n"
      "Runs COMMAND where the unmodified GPUDirect-TCPX plugin works without a gVNIC, and without "
      "a "
      "GPU:\nover loopback, with an rxdm of its own. The exit status is COMMAND's, 128 + N if "
      "signal N ended it,\n125 if the emulator could not be set up, 127 if COMMAND could not be "
      "started.\n\n"
      "  --device auto|host|cuda    memory that plays the GPU's; auto: a GPU's own if there is "
      "one\n"
      "  --gpu N                    which GPU (default 0)\n"
      "  --report FILE              writes at the end, as JSON, what became of the pool's pages\n\n"
      "Knobs, each also as the environment variable behind it:\n";
  const Settings defaults;
  for (const SettingEntry& entry : setting_entries()) {
    text += fmt::format("  --{} N  {}\n      {}; {} to {}, default {}\n", entry.option,
                        entry.environment, entry.meaning, entry.least, entry.most,
                        defaults.*entry.value);
  }
  return text;
}

}  // namespace sluice::emulator
