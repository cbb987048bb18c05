#include "tests/emulator/settings.h"

#include <array>
#include <charconv>
#include <cstdlib>

namespace sluice::emulator {
namespace {

constexpr std::uint64_t kHour = 3'600'000'000;  // us

constexpr std::array kEntries = {
    SettingEntry{"pool-pages", "SLUICE_EMULATOR_POOL_PAGES", 1, 1 << 20, &Settings::pool_pages,
                 "pages of 4 KiB in the bounce pool"},
    SettingEntry{"fragment-bytes", "SLUICE_EMULATOR_FRAGMENT_BYTES", 1, 4096,
                 &Settings::fragment_bytes, "longest fragment; each takes one page of the pool"},
    SettingEntry{"random-fragments", "SLUICE_EMULATOR_RANDOM_FRAGMENTS", 0, 1,
                 &Settings::random_fragments,
                 "1: fragments of random length up to fragment-bytes, anywhere in their page"},
    SettingEntry{"seed", "SLUICE_EMULATOR_SEED", 0, UINT64_MAX, &Settings::seed,
                 "of the random fragments"},
    SettingEntry{"arrival-delay-us", "SLUICE_EMULATOR_ARRIVAL_DELAY_US", 0, kHour,
                 &Settings::arrival_delay_us, "how long arrived bytes are held back"},
    SettingEntry{"completion-delay-us", "SLUICE_EMULATOR_COMPLETION_DELAY_US", 0, kHour,
                 &Settings::completion_delay_us,
                 "how long send completions are held back after the last send"},
    SettingEntry{"reset-after-bytes", "SLUICE_EMULATOR_RESET_AFTER_BYTES", 0, UINT64_MAX,
                 &Settings::reset_after_bytes,
                 "a data socket that received so many is reset; 0: never"},
    SettingEntry{"dontneed-error-every", "SLUICE_EMULATOR_DONTNEED_ERROR_EVERY", 0, UINT64_MAX,
                 &Settings::dontneed_error_every,
                 "every N-th return of pages fails and returns none; 0: never"},
    SettingEntry{"staged", "SLUICE_EMULATOR_STAGED", 0, 1, &Settings::staged,
                 "1: copy through a staging buffer and make the send completions up, as is always "
                 "done with a GPU"},
};

}  // namespace

std::span<const SettingEntry> setting_entries() { return kEntries; }

std::string set(Settings& settings, const SettingEntry& entry, std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < entry.least || value > entry.most) {
    return "'" + std::string(text) + "' for " + entry.option + ": not a whole number from " +
           std::to_string(entry.least) + " to " + std::to_string(entry.most);
  }
  settings.*entry.value = value;
  return "";
}

std::string environment_of(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

std::string read_environment(Settings& settings) {
  for (const SettingEntry& entry : kEntries) {
    const std::string text = environment_of(entry.environment);
    if (text.empty()) continue;
    if (std::string wrong = set(settings, entry, text); !wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace sluice::emulator
