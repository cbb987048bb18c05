// The emulator's knobs. The launcher takes them as options or from the environment and hands all of
// them on in the environment; the preloaded library reads them there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sluice::emulator {

struct Settings {
  std::uint64_t pool_pages = 32768;
  std::uint64_t fragment_bytes = 4096;
  std::uint64_t random_fragments = 0;
  std::uint64_t seed = 1;
  std::uint64_t arrival_delay_us = 0;
  std::uint64_t completion_delay_us = 0;
  std::uint64_t reset_after_bytes = 0;
  std::uint64_t dontneed_error_every = 0;
  std::uint64_t staged = 0;
};

struct SettingEntry {
  const char* option;       // `--option N` of the launcher
  const char* environment;  // The same in the environment; the option wins.
  std::uint64_t least;
  std::uint64_t most;
  std::uint64_t Settings::*value;
  const char* meaning;
};

std::span<const SettingEntry> setting_entries();

// Sets one value from text. Returns "" or what is wrong, with the legal range.
std::string set(Settings& settings, const SettingEntry& entry, std::string_view text);

// Environment variables that are not knobs: how the launcher tells the preloaded library where it
// is. Without the first, a process is not under the emulator.
inline constexpr char kFolderVariable[] = "SLUICE_EMULATOR_FOLDER";  // of the unix sockets
inline constexpr char kGpuVariable[] = "SLUICE_EMULATOR_GPU";        // PCI address, lower case
inline constexpr char kDeviceVariable[] = "SLUICE_EMULATOR_DEVICE";  // "host" or "cuda"

// "" if it is not set. This file's alone read the environment.
std::string environment_of(const char* name);

// Reads all knobs from the environment into `settings`. Returns "" or what is wrong.
std::string read_environment(Settings& settings);

}  // namespace sluice::emulator
