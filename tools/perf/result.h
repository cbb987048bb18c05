// One row of what was measured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::perf {

struct ResultRow {
  std::string op = "send";
  std::string net = "tcp";
  std::string memory = "host";
  std::string direction = "one";  // one, both
  std::uint64_t size_bytes = 0;
  std::uint32_t channels = 0;
  double gbytes_per_s = 0;  // 1e9 bytes per second, both directions together.
  double p50_us = 0;        // One way: half of a round trip.
  double p99_us = 0;
  std::optional<double> cpu_s_per_gb =
      std::nullopt;                      // Of both ends. None where no bytes were moved.
  std::uint64_t iterations = 0;          // Measured messages of the bandwidth phase, each way.
  std::uint64_t latency_iterations = 0;  // Measured round trips.
  std::uint64_t verified_messages = 0;   // Whose content was checked, and was right.
  bool verified = false;                 // At least one was checked, and none was wrong.
};

}  // namespace sluice::perf
