// The control protocol: every byte that engines say to each other on a control connection. Byte
// layouts are in docs/wire.md under the same names. Little-endian; every decoder is bounds-checked
// and answers false for anything that is not exactly one well-formed body.
//
//   frame   length u32 (of the body), type u8, zero u8[3], body
//
//   connecting end                 accepting end
//   Hello          ------------->                 magic, versions, nonce
//                  <-------------  Challenge      magic, version, nonce
//   Proof          ------------->                 proof of the secret, limits
//                  <-------------  Welcome        the same          (or Refused, and closed)
//   then, both ways and at any time:
//   Credit  Small  Manifest  TooLong  ChannelsWanted  ChannelsOffered  Ping  Goodbye
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sluice/status.h"
#include "src/base/bytes.h"
#include "src/net/net.h"

namespace sluice::wire {

inline constexpr std::uint64_t kMagic = 0x0a0d454349554c53;  // "SLUICE\r\n"
inline constexpr std::uint16_t kVersion = 1;                 // The only one so far.
inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kNonceBytes = 32;
inline constexpr std::size_t kProofBytes = 32;    // HMAC-SHA-256
inline constexpr std::size_t kLongestName = 256;  // Of engines and Nets.
inline constexpr std::size_t kLongestReason = 1024;
inline constexpr std::uint32_t kMostChannels = 64;
// Entries of one frame.
inline constexpr std::uint32_t kMostCreditsPerFrame = 64;
inline constexpr std::uint32_t kMostChunksPerManifest = 64;
// Receives that may be advertised and not yet complete: the size of a ring at both ends.
inline constexpr std::uint32_t kMostCredits = 1024;
// Bodies, besides Small (8 + small_bytes): the largest is ChannelsOffered.
inline constexpr std::size_t kLargestFixedBody = 2 + kMostChannels * (2 + Net::kHandleBytes);
inline constexpr std::size_t kSmallOverhead = 8;

enum class FrameType : std::uint8_t {
  kHello = 1,
  kChallenge = 2,
  kProof = 3,
  kWelcome = 4,
  kRefused = 5,
  kCredit = 16,
  kSmall = 17,
  kManifest = 18,
  kTooLong = 19,
  kChannelsWanted = 20,
  kChannelsOffered = 21,
  kPing = 22,
  kGoodbye = 23,
};

struct Header {
  std::uint32_t body_bytes = 0;
  FrameType type{};

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // False if the zeros are not zero; any type passes.
};

struct Hello {
  std::uint16_t oldest_version = kVersion;
  std::uint16_t newest_version = kVersion;
  std::array<std::byte, kNonceBytes> nonce{};

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

struct Challenge {
  std::uint16_t version = kVersion;
  std::array<std::byte, kNonceBytes> nonce{};

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

// What an engine tells of itself once the other end may know it.
struct Limits {
  std::uint64_t generation = 0;       // Random for each engine start: a restart is another engine.
  std::uint64_t chunk_bytes = 0;      // Largest chunk that it takes on a channel.
  std::uint32_t small_bytes = 0;      // Largest message that it takes in a Small.
  std::uint32_t channels = 0;         // Most channels that it makes per direction.
  std::uint32_t peer_timeout_ms = 0;  // Silence after which it gives the other end up.
  std::string_view net;               // Of the same name at both ends.
  std::string_view name;              // For logs.

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // The texts point into the frame.
};

// Proof and Welcome.
struct Proof {
  std::array<std::byte, kProofBytes> proof{};
  Limits limits;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

// Refused and Goodbye: the last frame of the one that sends it, with its cause.
struct Farewell {
  StatusCode code = StatusCode::kClosed;
  std::string_view reason;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

// Receives that were posted: the k-th capacity ever sent is for the k-th send of the other end.
struct Credit {
  std::uint32_t count = 0;
  std::array<std::uint64_t, kMostCreditsPerFrame> capacity{};  // bytes

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

// A whole message, for receive number `sequence`.
struct Small {
  std::uint64_t sequence = 0;
  std::span<const std::byte> bytes;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // The bytes point into the frame.
};

// Chunks of message `sequence` that were posted on channels, in this order: chunk i is bytes
// [i * chunk_bytes, (i + 1) * chunk_bytes) of the message, the last one shorter.
struct Manifest {
  struct Chunk {
    std::uint16_t channel = 0;
    std::uint32_t index = 0;
  };
  std::uint64_t sequence = 0;
  std::uint64_t message_bytes = 0;
  std::uint64_t chunk_bytes = 0;
  std::uint32_t count = 0;
  std::array<Chunk, kMostChunksPerManifest> chunks{};

  static constexpr std::size_t body_bytes(std::size_t count) { return 8 + 8 + 8 + 2 + count * 6; }
  void encode(ByteWriter& out) const;
  // Also checks that indices lie in the message; not the channels, nor the sequence.
  bool decode(ByteReader& in);
};

// How many chunks a message has. `chunk_bytes` > 0.
constexpr std::uint64_t chunk_count(std::uint64_t message_bytes, std::uint64_t chunk_bytes) {
  return message_bytes / chunk_bytes + (message_bytes % chunk_bytes != 0 ? 1 : 0);
}

// Message `sequence` is longer than its receive; both ends fail it alone.
struct TooLong {
  std::uint64_t sequence = 0;
  std::uint64_t message_bytes = 0;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

// The sender wants to use `count` channels: listen for them.
struct ChannelsWanted {
  std::uint32_t count = 0;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // False for 0 and for more than kMostChannels.
};

// The handles to connect to, channel 0 first.
struct ChannelsOffered {
  std::uint32_t count = 0;
  std::array<std::span<const std::byte>, kMostChannels> handles{};

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // The handles point into the frame.
};

}  // namespace sluice::wire
