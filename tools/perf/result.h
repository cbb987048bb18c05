// One row of what was measured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sluice/engine.h"

namespace sluice::perf {

inline constexpr char kAllEngines[] = "all";

struct ResultRow {
  std::string engine{};  // "gpu0", "host1", or kAllEngines; "": the only one.
  std::string op = "send";
  std::string net = "tcp";
  std::string memory = "host";
  std::string direction = "one";  // one, both
  std::uint64_t size_bytes = 0;
  std::uint32_t channels = 0;
  std::uint64_t blocks = 1;  // Of a write or read; these seven say nothing of messages.
  std::uint64_t block_bytes = 0;
  std::string layout{};  // contiguous, random, strided
  double post_us = 0;    // What asking for one took, median.
  bool urgent = false;
  std::uint64_t beside_bytes = 0;  // Of each transfer that went on beside; 0: none did.
  double beside_gbytes_per_s = 0;  // What these reached in the latency phase.
  double gbytes_per_s = 0;         // 1e9 bytes per second, both directions together.
  double p50_us = 0;               // One way: half of a round trip. Of a write or read, all of it.
  double p99_us = 0;
  std::optional<double> cpu_s_per_gb =
      std::nullopt;                      // Of both ends. None where no bytes were moved.
  std::uint64_t iterations = 0;          // Measured messages of the bandwidth phase, each way.
  std::uint64_t latency_iterations = 0;  // Measured round trips.
  std::uint64_t verified_messages = 0;   // Whose content was checked, and was right.
  double seconds = 0;                    // That the messages of the bandwidth phase took.
  double cpu_seconds = 0;                // Of both ends, meanwhile.
  EngineCounters counters{};             // Of this end's engine, meanwhile.
  bool verified = false;                 // At least one was checked, and none was wrong.
};

}  // namespace sluice::perf
