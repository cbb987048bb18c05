// What became of the chunks of one channel, from its events.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "src/observe/recording.h"

namespace sluice::report {

struct ChannelKey {
  std::uint32_t peer = 0;
  std::uint16_t channel = 0;
  bool sends = false;
  auto operator<=>(const ChannelKey&) const = default;
};

// One chunk; 0 for what is not in the recording.
struct ChunkTimes {
  std::uint64_t transfer = 0;
  std::uint32_t bytes = 0;
  bool failed = false;
  Nanoseconds posted = 0;
  Nanoseconds arrived = 0;   // Receives.
  Nanoseconds released = 0;  // Or failed.
};

struct ChannelFlow {
  std::map<std::uint32_t, ChunkTimes> chunks;  // By number; those with an event here.
  std::uint64_t busy = 0;                      // Times that the Net took no more.
  bool aborted = false;

  // Of the time from the first event to the end of the recording.
  Nanoseconds span = 0;
  double mean_in_flight = 0;
  double full = 0;   // Share of the time with the whole window in flight.
  double empty = 0;  // ... with nothing.

  // The longest time without an event while something was in flight.
  Nanoseconds longest_gap = 0;
  Nanoseconds gap_begin = 0;
  std::uint32_t gap_in_flight = 0;

  std::uint32_t in_flight = 0;  // At the end.
  Nanoseconds oldest = 0;       // When the oldest of these was posted; 0: before the recording.
};

// By channel, of what is in the recording: what happened before it is not known, and a window that
// was already filled counts from the first chunk that is seen to be released.
[[nodiscard]] std::map<ChannelKey, ChannelFlow> channel_flows(const Recording& recording);

}  // namespace sluice::report
