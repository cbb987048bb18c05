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
//   Credit  Small  Manifest  Sum  TooLong  ChannelsWanted  ChannelsOffered  Ping  Goodbye
//   ChannelsLost  Missing
//
// and for one-sided transfers, each of which has a slot of its initiator's from its Request on
//
//   initiator                      target
//   Request, Part... ----------->
//                    <-----------  Granted, Landed, Released, Answer   (or Denied)
//   Got, Abort       ----------->
//                    <-----------  Aborted
#pragma once

#include <algorithm>
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
inline constexpr std::size_t kLongestFarewell = 1 + 2 + kLongestReason;
inline constexpr std::uint32_t kMostChannels = 64;
// Entries of one frame.
inline constexpr std::uint32_t kMostCreditsPerFrame = 64;
inline constexpr std::uint32_t kMostChunksPerManifest = 64;
// Receives that may be advertised and not yet complete: the size of a ring at both ends.
inline constexpr std::uint32_t kMostCredits = 1024;
// Bodies, besides those that carry data: the largest is ChannelsOffered.
inline constexpr std::size_t kLargestFixedBody = 2 + kMostChannels * (2 + Net::kHandleBytes);
inline constexpr std::size_t kSmallOverhead = 8;
// One-sided transfers of one initiator that a target may have at a time.
inline constexpr std::uint32_t kMostSlots = 64;
// Payload of one Part, and of a Request whose data is not in it.
inline constexpr std::size_t kMostPartBytes = 8192;
// Payload of a Request that carries its data too, the data not counted.
inline constexpr std::size_t kMostInlinePayload = 1024;
inline constexpr std::uint32_t kLongestNotification = 1 << 20;
inline constexpr std::uint32_t kMostRegionsPerRequest = 1024;
// Lists of blocks that a target keeps for one initiator.
inline constexpr std::uint16_t kMostKeptLists = 16;

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
  kRequest = 24,
  kPart = 25,
  kGranted = 26,
  kDenied = 27,
  kLanded = 28,
  kAnswer = 29,
  kGot = 30,
  kReleased = 31,
  kAbort = 32,
  kAborted = 33,
  kChannelsLost = 34,
  kMissing = 35,
  kSum = 36,
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
  std::uint64_t request_bytes = 0;    // Payloads of Requests that it holds for the other end.
  std::uint64_t kept_list_bytes = 0;  // Longest list of blocks that it keeps; 0: it keeps none.
  bool checksum = false;              // It wants all that is moved to be checked.
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

// Chunks that were posted on channels, in this order: chunk i is bytes
// [i * chunk_bytes, (i + 1) * chunk_bytes) of the message, the last one shorter.
struct Manifest {
  enum class Of : std::uint8_t {
    kMessage = 0,  // `sequence` is that of a message.
    kWrite = 1,    // ... the slot of a write that the sender of this has asked for,
    kRead = 2,     // ... of a read that the receiver has.
  };
  struct Chunk {
    std::uint16_t channel = 0;
    std::uint32_t index = 0;
  };
  Of of = Of::kMessage;
  std::uint64_t sequence = 0;
  std::uint64_t message_bytes = 0;
  std::uint64_t chunk_bytes = 0;
  std::uint32_t count = 0;
  std::array<Chunk, kMostChunksPerManifest> chunks{};

  static constexpr std::size_t body_bytes(std::size_t count) {
    return 1 + 8 + 8 + 8 + 2 + count * 6;
  }
  void encode(ByteWriter& out) const;
  // Also checks that indices lie in the message; not the channels, nor the sequence.
  bool decode(ByteReader& in);
};

// Of all bytes of a transfer whose chunks have all been announced; only where checksums are in
// force.
struct Sum {
  static constexpr std::size_t kBytes = 1 + 8 + 4;
  Manifest::Of of = Manifest::Of::kMessage;
  std::uint64_t sequence = 0;
  std::uint32_t crc32c = 0;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

// What channel `index` of set number `set` is called in logs and recordings.
constexpr std::uint32_t channel_name(std::uint32_t set, std::size_t index) {
  return (set - 1) % 1024 * kMostChannels + static_cast<std::uint32_t>(index);
}

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

// The sender wants to use `count` channels: listen for them. A later one: in the place of those it
// has, which it has given up; no chunk of theirs is announced any more.
struct ChannelsWanted {
  std::uint32_t count = 0;
  std::string_view reason{};  // Why those before were given up; "" of the first.

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

// The receiver has given up the channels of the sender's ChannelsWanted number `set`, from 1.
struct ChannelsLost {
  std::uint32_t set = 0;
  std::string_view reason;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // The reason points into the frame.
};

// Before the ChannelsOffered that answers a later ChannelsWanted: of what was announced on the
// channels before, all has come but these. The sender begins them anew.
struct Missing {
  std::uint64_t writes = 0;  // Bits: slots of the sender's writes.
  std::uint64_t reads = 0;   // Bits: slots of the receiver's reads.
  std::uint32_t count = 0;
  std::array<std::uint64_t, kMostCredits> sequences{};  // Of messages, ascending.

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

enum class Operation : std::uint8_t { kWrite = 1, kRead = 2, kNotify = 3 };

// What an export of a region says of it, and what a Request says of each region that it names.
struct RegionRef {
  static constexpr std::size_t kProofBytes = 16;
  static constexpr std::size_t kBytes = 8 + 1 + kProofBytes;
  std::uint64_t region = 0;  // The target's RegionId.
  std::uint8_t access = 0;   // Bits of Access.
  std::array<std::byte, kProofBytes> proof{};

  void encode(ByteWriter& out) const;
  void decode(ByteReader& in);  // The caller checks `in`.
};

// The beginning of a one-sided transfer. Its payload is `regions` RegionRefs, the packed list of
// the target's blocks, the notification and, with kCarriesData, the data. It goes on in Parts. With
// kNamesList the list is the one that the target has kept as `list_id`.
struct Request {
  static constexpr std::size_t kFixedBytes = 2 + 1 + 1 + 8 + 8 + 2 + 2 + 4 + 4;
  static constexpr std::uint8_t kNotifies = 1;     // There is a notification, perhaps an empty one.
  static constexpr std::uint8_t kCarriesData = 2;  // Of a write: the data is in this frame.
  static constexpr std::uint8_t kTakesData = 4;    // Of a read: the data may come in an Answer.
  static constexpr std::uint8_t kUrgent = 8;       // Before those without it, at the target too.
  static constexpr std::uint8_t kKeepsList = 16;   // From now on `list_id` is this list.
  static constexpr std::uint8_t kNamesList = 32;
  std::uint16_t slot = 0;
  Operation operation{};
  std::uint8_t flags = 0;
  std::uint64_t bytes = 0;        // To be moved.
  std::uint64_t chunk_bytes = 0;  // Of a read: the most that the initiator takes. Otherwise 0.
  std::uint16_t regions = 0;
  std::uint16_t list_id = 0;
  std::uint32_t list_bytes = 0;
  std::uint32_t notification_bytes = 0;
  std::span<const std::byte> payload;  // As much as is in this frame.

  [[nodiscard]] std::uint64_t data_bytes() const { return (flags & kCarriesData) != 0 ? bytes : 0; }
  [[nodiscard]] std::uint64_t payload_bytes() const {  // Without the data.
    return std::uint64_t{regions} * RegionRef::kBytes + list_bytes + notification_bytes;
  }
  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // The payload points into the frame.
};

// Of any frame of an end whose limit for small messages this is.
constexpr std::size_t largest_body(std::uint64_t small_bytes) {
  return std::max<std::size_t>(kLargestFixedBody,
                               Request::kFixedBytes + kMostInlinePayload + small_bytes);
}

// Part: the next bytes of a Request's payload. Answer: all the data of a read.
struct SlotBytes {
  std::uint16_t slot = 0;
  std::span<const std::byte> bytes;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // The bytes point into the frame.
};

// The target awaits the chunks of a write.
struct Granted {
  std::uint16_t slot = 0;
  std::uint64_t chunk_bytes = 0;  // The most that it takes.

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

// Denied: the target has done nothing of what was asked. Abort: the initiator wants no more of it.
struct Denied {
  std::uint16_t slot = 0;
  StatusCode code = StatusCode::kDenied;
  std::string_view reason;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);  // The reason points into the frame.
};

// Landed: all data of a write, or a notification, is there. Got: all data of a read is. Released:
// the notification has been taken, the slot is free. Aborted: no chunk follows, the slot is free.
struct Slot {
  std::uint16_t slot = 0;

  void encode(ByteWriter& out) const;
  bool decode(ByteReader& in);
};

}  // namespace sluice::wire
