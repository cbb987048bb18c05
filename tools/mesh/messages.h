// What the processes of a mesh say to the one of rank 0: engine messages that hold one JSON object
// each. decode() checks every field's range.
//
//   rank > 0                        rank 0
//     Join                  ->        once, first
//                           <-        Task, for each pair of a round that this rank sends in
//     Outcome               ->        for each Task, in any order
//                           <-        End; or Refusal
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sluice/status.h"

namespace sluice::mesh {

inline constexpr std::size_t kMessageBytes = 64 << 10;  // Longest.
inline constexpr std::uint64_t kVersion = 1;
inline constexpr std::uint32_t kMostEngines = 64;  // Of a host.

struct EngineInfo {
  std::string name;     // "gpu0"
  std::string nic;      // "" where none is known.
  std::string address;  // Where its server is, with that one's secret.
};

struct Join {
  std::uint32_t rank = 0;
  std::uint32_t hosts = 0;  // In its file: all must have the same.
  std::vector<EngineInfo> engines;
};

// Measure from `engine` to the server at `address`, on host `to`.
struct Task {
  std::uint32_t id = 0;
  std::uint32_t engine = 0;
  std::uint32_t to = 0;  // Rank.
  std::string address;
};

struct Outcome {
  std::uint32_t id = 0;
  double gbytes_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
  std::string why;  // It failed; "" if it did not.
};

struct End {};

struct Refusal {
  std::string why;
};

using Message = std::variant<Join, Task, Outcome, End, Refusal>;

// At most kMessageBytes: long texts are cut.
[[nodiscard]] std::string encode(const Message& message);
// kProtocol says what was wrong with it.
[[nodiscard]] Result<Message> decode(std::string_view bytes);

}  // namespace sluice::mesh
