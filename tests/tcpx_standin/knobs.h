// All that the environment can switch in a stand-in; README.md lists it. Read anew by every listen
// and connect, so that a test can give each comm of its process its own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace sluice::standin {

enum class Fault : std::uint8_t {
  kStall,           // After N chunks nothing moves any more, without a word.
  kError,           // After N requests test() answers 2 for ever.
  kLeak,            // The pages of every N-th consumed request are lost.
  kLate,            // A finished request is told N tests later.
  kUnsent,          // From the N-th on, sends are told done and nothing is sent.
  kExit,            // After N requests test() ends the process with exit(1).
  kStorm,           // N warnings in every test().
  kBusy,            // Every N-th post is answered with a NULL request.
  kTiny,            // Fragments of at most N bytes.
  kUnaligned,       // Fragments begin at odd offsets and have odd lengths.
  kAligned,         // Fragments are whole pages: no fault, the tidiest metadata possible.
  kBadSource,       // The N-th receive has a fragment that ends behind the bounce pool.
  kBadDestination,  // ... behind what was given to irecv.
  kBadLength,       // ... that is longer than a page.
  kBadCount,        // ... more fragments than a slot has entries.
  kShortSum,        // ... a fragment less than the bytes need.
  kOversize,        // The N-th send carries 64 bytes more than it was given.
  kAtOnce,          // connect gives out a comm at once, as version 3.1.6 did.
  kConnectFails,
  kAcceptFails,
  kCount,
};

enum class Side : std::uint8_t { kSend, kReceive };

class Faults {
 public:
  [[nodiscard]] bool on(Fault fault) const { return number(fault).has_value(); }
  // Its N; `otherwise` when it is off.
  [[nodiscard]] std::uint64_t at(Fault fault, std::uint64_t otherwise = 0) const {
    return number(fault).value_or(otherwise);
  }
  // True for position N itself, counted from 0.
  [[nodiscard]] bool hits(Fault fault, std::uint64_t position) const {
    return number(fault) == position;
  }

 private:
  friend struct Knobs;
  [[nodiscard]] std::optional<std::uint64_t> number(Fault fault) const {
    return numbers_[static_cast<std::size_t>(fault)];
  }
  std::array<std::optional<std::uint64_t>, static_cast<std::size_t>(Fault::kCount)> numbers_{};
};

struct Knobs {
  // Variables of TCPX, with its defaults.
  std::uint64_t chunk_bytes = 0;         // 0: no send of bytes ever moves
  std::uint32_t sockets_per_thread = 1;  // 1 to 8
  std::uint32_t threads = 1;             // 1 to 16

  // The stand-in's own.
  bool strict = false;                   // A contract violation aborts the process.
  std::string interface = "lo";          // Of all devices.
  std::uint32_t devices = 1;             // 1 to 16
  std::uint32_t step_ms = 100;           // Before each socket of a connection, at both ends.
  std::uint32_t accept_wait_ms = 50;     // At the end of accept.
  std::uint32_t connect_tries = 20'000;  // While it is refused, 1 ms apart.
  std::uint32_t pool_pages = 65'536;     // Of 4096 bytes; fits until the last comm is closed.
  Faults faults;

  // Of one side: faults that were asked for the other one are off. Ends the process with a message
  // when a variable is malformed: a test must not run without the fault that it meant.
  static Knobs from_environment(Side side);
};

}  // namespace sluice::standin
