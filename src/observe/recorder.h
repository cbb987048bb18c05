// The flight recorder of an engine: its last events in a ring. Written by the engine's thread
// alone; an event costs a store of 32 bytes, no clock reading, no lock and no allocation. What its
// fields mean on disk is in docs/recording.md under the same names.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "src/base/clock.h"

namespace sluice {

// The numbers are those of the file format: never used again for anything else.
enum class EventKind : std::uint8_t {
  // Of a chunk on a channel, detail: kSends or kReceives. Chunks of a channel are numbered from 0:
  // the k-th that one end posts is the k-th that the other end posts.
  kPacking = 1,    // A send is being copied into staging first.
  kPosted = 2,     // The Net has it. bytes: how long it is.
  kArrived = 3,    // A receive: the Net says Done.
  kUnpacking = 4,  // A receive: the Gpu puts it in place.
  kReleased = 5,   // Its place in the window is free: a send is with the Net, a receive in place.
  kFailed = 6,     // Reported Failed, its place is free.
  // Of a channel.
  kBusy = 7,     // The Net takes no more: the first such answer since the last kPosted.
  kAborted = 8,  // Given up.
  // Of a control connection. detail: the wire's frame type; number: of the frames of the connection
  // this way, from 0.
  kFrameOut = 16,  // Queued.
  kFrameIn = 17,   // Handled.
  // Of a transfer, detail: kSends or kReceives. bytes and number: see length_of().
  kAsked = 24,
  kCompleted = 25,  // detail: StatusCode.
  // Of a peer.
  kPeerReady = 32,
  kPeerLeaving = 33,
  kPeerFailed = 34,  // detail: StatusCode.
  // Of the engine.
  kSlept =
      48,  // From its time on, `transfer` nanoseconds, in `number` sleeps with nothing between.
};

inline constexpr std::uint8_t kSends = 1;
inline constexpr std::uint8_t kReceives = 0;

// Trivial, so that a ring of them is not touched when it is made.
struct Event {
  Nanoseconds time;        // Of the engine's clock: of the pass in which it happened.
  std::uint64_t transfer;  // The engine's TransferId; 0: none.
  std::uint32_t number;
  std::uint32_t bytes;
  std::uint32_t peer;  // The lower half of the PeerId; 0: none.
  std::uint16_t channel;
  EventKind kind;
  std::uint8_t detail;

  bool operator==(const Event&) const = default;
};
static_assert(sizeof(Event) == 32 && std::is_trivially_default_constructible_v<Event>);

// Of a transfer: up to 2^64.
constexpr std::uint64_t length_of(const Event& event) {
  return std::uint64_t{event.number} << 32 | event.bytes;
}

// A peer as recordings name it.
struct RecordedPeer {
  std::uint64_t id = 0;
  std::uint64_t generation = 0;  // Of that engine's start: its own recording has the same.
  std::string label;

  bool operator==(const RecordedPeer&) const = default;
};

class Recorder {
 public:
  static constexpr std::size_t kMostPeers = 1024;  // The last that were met.

  // Room for at least so many events; 0: nothing is recorded, and everything below costs a test.
  explicit Recorder(std::uint32_t events);

  [[nodiscard]] bool on() const { return ring_ != nullptr; }
  [[nodiscard]] Nanoseconds time() const { return time_; }

  // What time it is, for all that follows until the next call.
  void at(Nanoseconds now) {
    if (now > time_) time_ = now;
    for (; unstamped_ > 0; --unstamped_) ring_[(recorded_ - unstamped_) & mask_].time = time_;
  }
  void add(const Event& event) {
    if (!on()) return;
    Event& place = ring_[recorded_++ & mask_];
    place = event;
    place.time = time_;
    if (unstamped_ > 0 && unstamped_ <= mask_) ++unstamped_;
  }
  // Between two passes: it, and what else is added until then, has the time of the next at().
  void add_ahead(const Event& event) {
    add(event);
    if (on() && unstamped_ == 0) unstamped_ = 1;
  }
  // Sleeps with nothing between them are one event.
  void slept(Nanoseconds from, Nanoseconds to);
  // Off the data path: may allocate.
  void met(const RecordedPeer& peer);

  // When `wanted` was recorded, whatever its time, transfer and bytes; nullopt: it is forgotten.
  // Off the data path: looks at all.
  [[nodiscard]] std::optional<Nanoseconds> when(const Event& wanted) const;

  // Oldest first.
  [[nodiscard]] std::vector<Event> events() const;
  [[nodiscard]] const std::vector<RecordedPeer>& peers() const { return peers_; }
  [[nodiscard]] std::uint64_t recorded() const { return recorded_; }  // Ever.

 private:
  std::unique_ptr<Event[]> ring_;  // Of mask_ + 1; its pages are not touched until they are used.
  std::uint64_t mask_ = 0;
  std::uint64_t recorded_ = 0;
  std::uint64_t unstamped_ = 0;  // The last so many have the time of the next at().
  Nanoseconds time_ = 0;
  std::vector<RecordedPeer> peers_;
};

// What one channel writes. Numbers its chunks.
class ChannelRecord {
 public:
  ChannelRecord(Recorder& recorder, std::uint64_t peer, std::uint32_t channel, std::uint8_t way)
      : recorder_(recorder),
        peer_(static_cast<std::uint32_t>(peer)),
        channel_(static_cast<std::uint16_t>(channel)),
        way_(way) {}

  void packing(std::uint64_t transfer) { add(EventKind::kPacking, transfer, posted_); }
  void posted(std::uint64_t transfer, std::uint64_t bytes) {
    busy_ = false;
    recorder_.add({0, transfer, posted_++, static_cast<std::uint32_t>(bytes), peer_, channel_,
                   EventKind::kPosted, way_});
  }
  void arrived(std::uint64_t transfer) { add(EventKind::kArrived, transfer, arrived_++); }
  // The next that has arrived goes on; `gpu`: by way of the Gpu.
  void unpacking(std::uint64_t transfer, bool gpu) {
    if (gpu) add(EventKind::kUnpacking, transfer, unpacking_);
    ++unpacking_;
  }
  void released(std::uint64_t transfer, bool good) {
    add(good ? EventKind::kReleased : EventKind::kFailed, transfer, released_++);
  }
  void busy() {
    if (!busy_) add(EventKind::kBusy, 0, posted_);
    busy_ = true;
  }
  void aborted() { add(EventKind::kAborted, 0, posted_); }

  // How long ago the oldest chunk that is not released was posted; 0: none is, or nobody knows.
  [[nodiscard]] Nanoseconds oldest_for() const {
    const auto posted =
        recorder_.when({0, 0, released_, 0, peer_, channel_, EventKind::kPosted, way_});
    return posted.has_value() ? recorder_.time() - *posted : 0;
  }

 private:
  void add(EventKind kind, std::uint64_t transfer, std::uint32_t number) {
    recorder_.add({0, transfer, number, 0, peer_, channel_, kind, way_});
  }

  Recorder& recorder_;
  std::uint32_t peer_;
  std::uint16_t channel_;
  std::uint8_t way_;
  bool busy_ = false;
  std::uint32_t posted_ = 0;
  std::uint32_t arrived_ = 0;
  std::uint32_t unpacking_ = 0;
  std::uint32_t released_ = 0;
};

}  // namespace sluice
