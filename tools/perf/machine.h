// The machine a measurement was made on, as far as it explains the figures.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::perf {

struct Machine {
  std::string cpu{};                     // Model name; "" if unknown, as for the other texts.
  std::uint32_t cores = 0;               // That this process may use.
  std::uint64_t memory_bytes = 0;        // In all.
  std::string kernel{};                  // "Linux 6.1.0-30-amd64"
  std::string congestion_control{};      // The default of new sockets.
  std::string transparent_huge_pages{};  // always, madvise, never
};

[[nodiscard]] Machine describe_machine();

// Bytes that can be allocated now without swapping, in this control group.
[[nodiscard]] std::uint64_t available_memory();

}  // namespace sluice::perf
