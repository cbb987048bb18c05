#include "src/base/log.h"

#include <unistd.h>

#include <array>
#include <cstddef>
#include <ctime>
#include <mutex>
#include <string>

namespace sluice {

namespace log_internal {
std::atomic<int> level{static_cast<int>(LogLevel::kWarning)};
}

namespace {

constexpr std::array<std::string_view, 5> kLevelNames = {"error", "warning", "info", "debug",
                                                         "trace"};

// One write() a line, so that lines of several processes on one terminal do not mix.
void write_to_stderr(LogLevel /*level*/, std::string_view line) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  std::array<char, 32> date{};
  const std::size_t length = std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  const std::string text = fmt::format("{}.{:03}Z {}\n", std::string_view(date.data(), length),
                                       now.tv_nsec / 1'000'000, line);
  [[maybe_unused]] const ssize_t count = ::write(STDERR_FILENO, text.data(), text.size());
}

// Guards the sink, and lets one line out at a time.
std::mutex sink_mutex;
LogSink sink = write_to_stderr;

// Names and reasons come from peers: none may forge a line or drive a terminal.
void escape_control_characters(std::string& line) {
  std::string escaped;
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      escaped += fmt::format("\\x{:02x}", byte);
    } else {
      escaped += c;
    }
  }
  line = std::move(escaped);
}

}  // namespace

Result<LogLevel> parse_log_level(std::string_view text) {
  for (std::size_t i = 0; i < kLevelNames.size(); ++i) {
    if (text == kLevelNames[i]) return static_cast<LogLevel>(i);
  }
  return Status(StatusCode::kInvalidArgument,
                fmt::format("log level '{}' is none of {}", text, fmt::join(kLevelNames, ", ")));
}

void set_log_level(LogLevel level) {
  log_internal::level.store(static_cast<int>(level), std::memory_order_relaxed);
}

void set_log_sink(LogSink new_sink) {
  const std::lock_guard lock(sink_mutex);
  sink = new_sink == nullptr ? write_to_stderr : new_sink;
}

void log_internal::write(LogLevel line_level, const char* component, fmt::string_view format,
                         fmt::format_args args) {
  std::string line =
      fmt::format("{} {} ", kLevelNames[static_cast<std::size_t>(line_level)], component);
  fmt::vformat_to(std::back_inserter(line), format, args);
  escape_control_characters(line);
  const std::lock_guard lock(sink_mutex);
  sink(line_level, line);
}

}  // namespace sluice
