// The bootstrap handshake: who is at the other end of a fresh control connection, and may he?
// Strangers cost one log line and a bounded amount of memory and time, and disturb nobody.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "sluice/options.h"
#include "sluice/status.h"
#include "src/base/clock.h"
#include "src/base/slot_pool.h"
#include "src/engine/frame_stream.h"
#include "src/engine/secret.h"

namespace sluice {

// What the other end told of itself: wire::Limits with texts of its own.
struct PeerLimits {
  std::uint64_t generation = 0;
  std::uint64_t chunk_bytes = 0;
  std::uint32_t small_bytes = 0;
  std::uint32_t channels = 0;
  std::uint32_t peer_timeout_ms = 0;
  std::uint64_t request_bytes = 0;
  std::uint64_t kept_list_bytes = 0;
  bool checksum = false;  // In force: either end wants it.
  std::string name;       // Printable.
};

class Bootstrap {
 public:
  // The end of a handshake. Exactly one for each add_outbound() that is not forgotten; for inbound
  // connections only those that came through.
  struct Outcome {
    std::uint64_t peer = 0;             // As given to add_outbound(); 0 for inbound.
    Status status;                      // Why there is no link.
    std::unique_ptr<FrameStream> link;  // May already hold frames that follow the handshake.
    PeerLimits limits;
  };

  // Everything given must outlive this. `own` is what we tell of ourselves.
  Bootstrap(const Options& options, const Secret& secret, const wire::Limits& own,
            const Clock& clock);

  // Whether one more inbound connection may be accepted now. When max_handshakes are under way,
  // the oldest gives way if it has had a fair time; until then the next waits in the kernel.
  bool make_room();
  void add_inbound(std::unique_ptr<ByteStream> stream);  // After make_room().
  void add_outbound(std::unique_ptr<ByteStream> stream, const Secret& secret, std::uint64_t peer);
  void forget(std::uint64_t peer);  // No outcome will come for it.

  // Tags of streams here have this bit.
  static constexpr std::uint64_t kTagBit = 1ull << 62;
  // ControlNet::ready() named this tag. Returns steps taken.
  std::size_t on_ready(std::uint64_t tag);
  // Closes those that are over their time. Returns when to come again.
  Nanoseconds on_time(Nanoseconds now);

  [[nodiscard]] bool has_outcome() const { return !outcomes_.empty(); }
  Outcome take_outcome();

 private:
  struct Joining {
    std::unique_ptr<FrameStream> link;
    End end{};
    Secret secret{};
    std::uint64_t peer = 0;
    Nonce own_nonce{};
    Nonce peer_nonce{};
    Nanoseconds began = 0;
    Nanoseconds deadline = 0;
    bool greeted = false;  // The other end's first frame was in order.
    bool leaving = false;  // Refused: waits for its last frame to be read.
  };

  void add(std::unique_ptr<ByteStream> stream, Joining joining);
  void release(std::uint64_t id);
  void on_frames(std::uint64_t id, Joining& joining);
  // OK: go on. Anything else ends this handshake.
  Status on_frame(std::uint64_t id, Joining& joining, const FrameStream::Frame& frame);
  Status on_hello(Joining& joining, const FrameStream::Frame& frame);
  Status on_challenge(Joining& joining, const FrameStream::Frame& frame);
  Status on_proof(Joining& joining, const FrameStream::Frame& frame, PeerLimits& limits);
  void joined(std::uint64_t id, Joining& joining, PeerLimits limits);
  void fail(Joining& joining, const Status& status);
  void refuse(Joining& joining, const Status& status);

  const Options& options_;
  const Secret& secret_;
  const wire::Limits& own_;
  const Clock& clock_;
  SlotPool<Joining> joining_;
  std::uint32_t inbound_ = 0;  // Of joining_.
  std::deque<Outcome> outcomes_;
};

// Text of a peer's, made fit for a log: control characters become '?', and it is cut to 256 bytes.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace sluice
