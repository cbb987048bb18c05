// Recordings of several engines on one clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/observe/recording.h"

namespace sluice::report {

// How the clock of one recording lies to that of another.
struct Offset {
  Nanoseconds shift = 0;  // To be added to the second's times.
  Nanoseconds error = 0;  // At most so far off, either way.
  std::size_t out = 0;    // Frames that were compared, from the first to the second
  std::size_t back = 0;   // and back.
};

// From the frames of the control connection that both have seen go out and come in: none can come
// in before it went out, either way. nullopt: they have no single connection in common, or its
// frames of one way are in neither's memory.
[[nodiscard]] std::optional<Offset> offset_between(const Recording& first, const Recording& second);

// The peer that `of` is to `recording`, as its events name it; nullopt: not one, or several.
[[nodiscard]] std::optional<std::uint32_t> peer_in(const Recording& recording, const Recording& of);

struct Track {
  Recording recording;
  Nanoseconds shift = 0;  // To be added to its times.
  std::string clock;      // How that is known, for people.
};

struct Timeline {
  std::vector<Track> tracks;
  Nanoseconds begin = 0;  // The oldest event of all.
};

// In the order given. Of recordings of one engine's start, the last one taken stays. The clock is
// the first one's; those that share no frames with it, directly or through others, lie as the wall
// clocks of their hosts say.
[[nodiscard]] Timeline make_timeline(std::vector<Recording> recordings);

// "gpu1 (10.0.0.2:20000)", or "peer 16777217".
[[nodiscard]] std::string label_of(const Recording& recording, std::uint32_t peer);

}  // namespace sluice::report
