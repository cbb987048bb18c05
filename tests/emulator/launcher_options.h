// The command line of sluice-tcpx-emulator.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sluice/status.h"
#include "tests/emulator/settings.h"

namespace sluice::emulator {

enum class DeviceKind { kAuto, kHost, kCuda };

struct LauncherOptions {
  Settings settings;
  DeviceKind device = DeviceKind::kAuto;
  int gpu = 0;         // Ordinal, of kCuda and kAuto.
  std::string report;  // File for the counts of pages; "" for none.
  bool help = false;
  std::vector<std::string> command;  // With its arguments.
};

// `arguments` without the program's name; `defaults` are the knobs that the environment has set.
// Errors name the legal range.
Result<LauncherOptions> parse_options(std::span<const char* const> arguments,
                                      const Settings& defaults);

std::string help_text();

}  // namespace sluice::emulator
