#include "src/net/plugin/plugin_log.h"

#include <fmt/format.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

constexpr Nanoseconds kSameMoment = from_ms(100);
constexpr Nanoseconds kLongAgo = 2 * LineLimiter::kQuiet;  // Not said any more, or it would show.

// The interface gives a logger nothing of its own to hold on to, so this is the process's.
struct SharedLog {
  std::mutex mutex;  // Plugins log from their own threads.
  LineLimiter limiter;
  struct Warning {
    std::array<char, 512> text{};
    Nanoseconds at = 0;
  };
  std::array<Warning, 2> warnings{};  // The last one is the second.
};

SharedLog& shared_log() {
  static SharedLog log;
  return log;
}

LogLevel level_of(nccl_abi::DebugLevel level) {
  switch (level) {
    case nccl_abi::DebugLevel::kAbort:
      return LogLevel::kError;
    case nccl_abi::DebugLevel::kWarn:
      return LogLevel::kWarning;
    case nccl_abi::DebugLevel::kNone:
    case nccl_abi::DebugLevel::kVersion:
    case nccl_abi::DebugLevel::kInfo:
      return LogLevel::kInfo;
    case nccl_abi::DebugLevel::kTrace:
      break;
  }
  return LogLevel::kTrace;
}

// `file` may be a function's name; as a literal, its address tells it from others.
std::uint64_t place_of(const char* file, int line) {
  return reinterpret_cast<std::uintptr_t>(file) * 0x9e3779b97f4a7c15u +
         static_cast<std::uint64_t>(line) + 1;
}

}  // namespace

LineLimiter::Answer LineLimiter::admit(std::uint64_t place, Nanoseconds now) {
  Place& entry = places_[(place ^ place >> 32) % places_.size()];
  if (entry.id != place) {
    entry = {place, 0, now, 1};
    return {true, 0};
  }
  if (now - entry.last >= kQuiet) {
    if (entry.dropped == 0) entry.burst = 0;  // It has calmed down.
  } else if (entry.burst >= kBurst) {
    ++entry.dropped;
    return {false, 0};
  }
  ++entry.burst;
  entry.last = now;
  return {true, std::exchange(entry.dropped, 0)};
}

void plugin_logger(nccl_abi::DebugLevel level, unsigned long /*flags*/, const char* file, int line,
                   const char* format, ...) {
  const LogLevel our_level = level_of(level);
  const bool warning = our_level <= LogLevel::kWarning;
  if ((!warning && !log_enabled(our_level)) || format == nullptr) return;
  SharedLog& shared = shared_log();
  std::array<char, 1024> text;
  LineLimiter::Answer answer{};
  {
    const std::lock_guard lock(shared.mutex);
    const Nanoseconds now = SystemClock().now();
    answer = shared.limiter.admit(place_of(file, line), now);
    if (!answer.admitted) return;
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text.data(), text.size(), format, arguments);
    va_end(arguments);
    if (warning) {
      shared.warnings[0] = shared.warnings[1];
      std::snprintf(shared.warnings[1].text.data(), shared.warnings[1].text.size(), "%.511s",
                    text.data());
      shared.warnings[1].at = now;
    }
  }
  if (answer.dropped == 0) {
    log(our_level, "plugin", "says {}", text.data());
  } else {
    log(our_level, "plugin", "says {} (and {} lines like it that are not shown)", text.data(),
        answer.dropped);
  }
}

std::string plugin_warning_clause(Nanoseconds now) {
  SharedLog& shared = shared_log();
  const std::lock_guard lock(shared.mutex);
  const auto& [earlier, last] = shared.warnings;
  if (last.text[0] == 0) return "";
  std::string clause = "; its last warning";
  if (const Nanoseconds age = now - last.at; age > kLongAgo) {
    clause += fmt::format(", {} s earlier", age / from_ms(1000));
  }
  clause += ": ";
  if (earlier.text[0] != 0 && last.at - earlier.at <= kSameMoment) {
    clause += fmt::format("{}; ", earlier.text.data());
  }
  return clause + last.text.data();
}

}  // namespace sluice
