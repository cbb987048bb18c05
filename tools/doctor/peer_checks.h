// What lies between this host and another, on which `sluice perf server` runs.
#pragma once

#include <string>
#include <vector>

#include "tools/doctor/finding.h"
#include "tools/doctor/host_facts.h"
#include "tools/in_force.h"

namespace sluice::doctor {

// One TCP connection as the kernel sees it.
struct PathFacts {
  std::string error;            // Why it could not be made; "" if it could.
  double rtt_ms = 0;            // Smoothed, of the handshake.
  std::uint32_t path_mtu = 0;   // bytes
  std::uint32_t local_mtu = 0;  // Of the interface it left by; 0: unknown
};

// Connects from each NIC of this host that has an address (from whichever the routes choose, if
// none has) to each of `hosts` at the port of perf.
[[nodiscard]] Findings check_paths(const std::vector<std::string>& hosts,
                                   const std::vector<NicFacts>& nics, std::uint16_t port);
// What one such connection says; `check` names the pair.
[[nodiscard]] Finding judge_path(const std::string& check, const PathFacts& path,
                                 std::uint16_t port);

// Measures against the server on each of `hosts`: latency, bandwidth, and what was sent twice.
[[nodiscard]] Findings check_transfers(const std::vector<std::string>& hosts,
                                       const tools::InForce& in_force);

// Segments that this host has sent, and sent again, by /proc/net/snmp.
struct SegmentCounts {
  std::uint64_t sent = 0;
  std::uint64_t again = 0;
};
// Of the file's text. Zeros where it does not have them.
[[nodiscard]] SegmentCounts parse_segments(std::string_view text);
[[nodiscard]] Finding judge_loss(const SegmentCounts& before, const SegmentCounts& after);

}  // namespace sluice::doctor
