// What an engine knows of why nothing moves, told so that a person can act on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/clock.h"

namespace sluice {

// Of one channel, now.
struct ChannelFacts {
  bool sends = false;
  std::uint32_t index = 0;
  std::uint32_t in_flight = 0;  // Chunks in the window.
  std::uint32_t window = 0;     // Its limit.
  std::uint32_t in_net = 0;     // Of them, with the Net: posted, and not told Done.
  std::uint64_t tests = 0;      // Of the oldest of these, all answered Pending.
  std::uint32_t announced = 0;  // Receives: announced by the peer, and not posted yet.
  Nanoseconds oldest_for = 0;   // Since the oldest was posted; 0: nobody knows.
  std::string connection{};     // As its Net describes it, or "".
};

// Of one peer, now. Durations are up to now.
struct PeerFacts {
  std::uint64_t id = 0;
  std::string label;
  bool joining = false;        // The handshake is not over.
  Nanoseconds silent_for = 0;  // Since the last byte from it.
  Nanoseconds still_for = 0;   // Since something last moved in either direction.
  bool making_send_channels = false;
  bool making_recv_channels = false;
  std::uint64_t send_rebuilds = 0;  // How often these channels died and were made anew, ever.
  std::uint64_t recv_rebuilds = 0;
  std::uint64_t sends = 0;  // Asked for and not complete.
  std::uint64_t recvs = 0;
  std::uint64_t credits = 0;      // Receives that the peer has posted and that no send has met.
  std::uint64_t unannounced = 0;  // Receives of ours that no manifest has named.
  std::uint64_t one_sided = 0;    // Writes, reads and notifications of ours, not complete.
  std::uint64_t served = 0;       // Of the peer's, whose bytes move.
  std::vector<ChannelFacts> channels;
  std::string control;  // The control connection, described.
};

// What most likely keeps it from moving, and what to try.
struct Cause {
  const char* means;
  const char* attempt;
};
[[nodiscard]] Cause likely_cause(const PeerFacts& peer);

// Several lines, each ended by a newline.
[[nodiscard]] std::string report_text(const std::string& engine,
                                      const std::vector<PeerFacts>& peers);

}  // namespace sluice
