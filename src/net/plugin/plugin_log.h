// Where the log lines of plugins go: into ours, with their levels, and not more of them than a
// person can read. GPUDirect-TCPX says "No free space for recv task" tens of thousands of times a
// second when it is merely busy.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "src/base/clock.h"
#include "src/net/plugin/abi.h"

namespace sluice {

// Lets the first lines of a place in a plugin's code through, then one a second. Not thread-safe.
class LineLimiter {
 public:
  static constexpr std::uint32_t kBurst = 5;            // Lines before a place is limited.
  static constexpr Nanoseconds kQuiet = from_ms(1000);  // Between two lines of a limited place.

  struct Answer {
    bool admitted;
    std::uint64_t dropped;  // Lines of the same place since the last one that was admitted.
  };
  // `place` is where the line comes from.
  Answer admit(std::uint64_t place, Nanoseconds now);

 private:
  struct Place {
    std::uint64_t id = 0;
    std::uint64_t dropped = 0;
    Nanoseconds last = 0;
    std::uint32_t burst = 0;
  };
  std::array<Place, 64> places_{};  // Two that share an entry take it from each other.
};

// The logger that every plugin is given. Thread-safe.
void plugin_logger(nccl_abi::DebugLevel level, unsigned long flags, const char* file, int line,
                   const char* format, ...) __attribute__((format(printf, 5, 6)));

// The end of an error's message that the last warning of any plugin of this process may explain:
// "; its last warning: no route", with "12 s earlier" if it was not of these seconds, and behind
// the one before it if the two were of one moment: the first often says why and the second only
// what follows. "" if there was none. Thread-safe.
[[nodiscard]] std::string plugin_warning_clause(Nanoseconds now = SystemClock().now());

}  // namespace sluice
