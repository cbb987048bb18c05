// A recording: what a Recorder held at one moment, as a file. The bytes are in docs/recording.md
// under the same names; the decoder takes nothing on trust.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/status.h"
#include "src/observe/recorder.h"

namespace sluice {

struct Recording {
  static constexpr std::uint64_t kMagic = 0x0a0d434552554c53;  // "SLUREC\r\n"
  static constexpr std::uint16_t kVersion = 1;
  static constexpr std::size_t kLongestText = 1024;
  static constexpr std::uint64_t kMostEvents = 1 << 22;  // What the setting allows.

  std::uint64_t generation = 0;  // Of the engine's start: how the other end's recording names it.
  Nanoseconds taken_at = 0;      // Of the engine's clock, as the events' times.
  std::int64_t wall_clock = 0;   // Nanoseconds since 1970 at the same moment.
  std::uint64_t recorded = 0;    // Events ever: those before the oldest here are forgotten.
  std::uint32_t window = 0;      // Chunks in flight on a channel at most.
  std::string name;              // Of the engine.
  std::string net;
  std::string reason;  // Why it was taken.
  std::vector<RecordedPeer> peers;
  std::vector<Event> events;  // Oldest first.

  bool operator==(const Recording&) const = default;
};

// Longer texts are cut to kLongestText.
[[nodiscard]] std::vector<std::byte> encode(const Recording& recording);
// kProtocol says what is wrong with the bytes.
[[nodiscard]] Result<Recording> decode_recording(std::span<const std::byte> bytes);

// The file appears whole or not at all. kSystem: it cannot be written.
Status write_recording(const std::string& path, const Recording& recording);
// kSystem: it cannot be read; kProtocol: it is no recording.
[[nodiscard]] Result<Recording> read_recording(const std::string& path);

// "Posted", or "" for a number that no version of the format has used.
[[nodiscard]] std::string_view to_string(EventKind kind);

}  // namespace sluice
