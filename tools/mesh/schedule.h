// Who sends to whom in which round: every engine to every engine of every other host, each NIC
// sending once and receiving once in a round.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::mesh {

struct EngineAt {
  std::uint32_t host = 0;    // Rank.
  std::uint32_t engine = 0;  // Of that host.
  bool operator==(const EngineAt&) const = default;
};
struct Pair {
  EngineAt from;
  EngineAt to;
  bool operator==(const Pair&) const = default;
};

// `nics`: for each host, the NIC of each of its engines by name; engines whose NIC is not known
// ("") share one. With as many engines and NICs on every host no schedule has fewer rounds: (hosts
// - 1) * engines * engines / NICs.
[[nodiscard]] std::vector<std::vector<Pair>> make_schedule(
    const std::vector<std::vector<std::string>>& nics);

}  // namespace sluice::mesh
