// What the two ends of `sluice perf` say to each other: small engine messages that hold one JSON
// object each. Every field is range-checked by decode(): a stranger's message can ask for nothing
// that Plan does not allow.
//
//   client                          server
//     Start                 ->        once, first
//                           <-        Welcome, when it is this client's turn; or Refusal
//     Run                   ->
//                           <-        Ready, its receives are posted; or Refusal
//     the run's messages   <->
//                           <-        Done
//
// A run of writes or reads is the client's alone: its Ready names the memory, exported to it, and
//     Finish                ->        when it has measured
//                           <-        Done
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "sluice/status.h"
#include "tools/perf/plan.h"

namespace sluice::perf {

inline constexpr std::size_t kMessageBytes = 4096;  // Longest.
inline constexpr std::uint64_t kVersion = 1;

struct Start {};

struct Welcome {
  std::uint32_t channels = 1;  // Most channels per direction that the server makes.
  std::string memory = "host";
};

// One run: `count` messages of `size` bytes.
struct Run {
  std::string op = "send";  // write, read: `size` is the room that they need.
  Phase phase = Phase::kBandwidth;
  std::uint64_t size = 0;     // bytes
  std::uint64_t count = 1;    // Each way, if both ways.
  std::uint64_t checked = 0;  // The first so many have their content checked.
  std::uint32_t depth = 1;
  bool both_directions = false;
  std::uint64_t seed = 0;    // Of their content.
  std::uint64_t beside = 0;  // Bytes of each one-sided transfer that goes on beside; 0: none does.
  bool urgent = false;       // The measured ones; the server need not know.
};

struct Ready {
  std::string region{};  // Of Engine::export_region(), in hexadecimal; "" for messages.
  // Operations of this size that it holds, for what is free here may be less than at the client;
  // 0: not said.
  std::uint64_t slots = 0;
};

struct Finish {};

// What the server saw of a run.
struct Done {
  double cpu_seconds = 0;
  std::uint64_t checked = 0;
  std::string difference;  // Where content differed first; "" if it did not.
};

struct Refusal {
  std::string why;
};

using Message = std::variant<Start, Welcome, Run, Ready, Finish, Done, Refusal>;

// At most kMessageBytes: long texts are cut.
[[nodiscard]] std::string encode(const Message& message);

// kProtocol says what was wrong with it.
[[nodiscard]] Result<Message> decode(std::string_view bytes);

}  // namespace sluice::perf
