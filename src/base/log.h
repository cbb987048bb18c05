// The logger: the one piece of global state. A line is "level component key value key value ...":
// one line names peer, channel and chunk, so grep follows a transfer. An error is logged once, by
// the function that first knew which error it is; callers only pass the Status on. Nothing is
// formatted unless its level is on.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <string_view>

#include "sluice/status.h"

namespace sluice {

enum class LogLevel : int { kError = 0, kWarning, kInfo, kDebug, kTrace };

// "error", "warning", "info", "debug", "trace". kInvalidArgument names them.
Result<LogLevel> parse_log_level(std::string_view text);

void set_log_level(LogLevel level);  // Thread-safe. kWarning until set.

// Receives every line whose level is on, without its newline; stderr until set. Called from any
// thread, one call at a time. nullptr brings stderr back.
using LogSink = void (*)(LogLevel level, std::string_view line);
void set_log_sink(LogSink sink);

namespace log_internal {
extern std::atomic<int> level;
void write(LogLevel line_level, const char* component, fmt::string_view format,
           fmt::format_args args);
}  // namespace log_internal

inline bool log_enabled(LogLevel level) {
  return static_cast<int>(level) <= log_internal::level.load(std::memory_order_relaxed);
}

template <typename... Args>
void log(LogLevel level, const char* component, fmt::format_string<Args...> format,
         Args&&... args) {
  if (!log_enabled(level)) return;
  log_internal::write(level, component, format, fmt::make_format_args(args...));
}

}  // namespace sluice

// SLUICE_LOG(kInfo, "engine", "peer {} connected", name): the arguments are not evaluated when the
// level is off.
#define SLUICE_LOG(level_name, component, ...)                               \
  do {                                                                       \
    if (::sluice::log_enabled(::sluice::LogLevel::level_name)) {             \
      ::sluice::log(::sluice::LogLevel::level_name, component, __VA_ARGS__); \
    }                                                                        \
  } while (false)
