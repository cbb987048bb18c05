// Another engine that we are connected to, or are connecting to: one control connection, and the
// two directions. A peer fails once, with one Status, and everything it has in flight with it.
//
//   joining --join()--> ready --Goodbye--> leaving --announced data has come--> failing --> gone
//      |                  |                                                        ^
//      +------------------+--------- fail(): death, silence, protocol error, disconnect +
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sluice/engine.h"
#include "src/engine/bootstrap.h"
#include "src/engine/context.h"
#include "src/engine/frame_stream.h"
#include "src/engine/inbound.h"
#include "src/engine/outbound.h"
#include "src/engine/rebuild.h"
#include "src/engine/requester.h"
#include "src/engine/server.h"

namespace sluice {

class Peer {
 public:
  // `remote`: where it is, for logs. `context` must outlive this.
  Peer(const Context& context, std::uint64_t id, std::string remote);

  // The handshake is over. Frames that came right behind it are handled at once.
  void join(std::unique_ptr<FrameStream> link, const PeerLimits& limits);
  // Ends everything, for the reason given; tells the other end. Only the first call counts.
  void fail(const Status& status);
  // The channels on which the other end may still be receiving are aborted, too.
  void stop_lingering();

  void enqueue(std::uint64_t transfer, Direction direction);
  // Ends one of its transfers early. kUnavailable: a message that has begun.
  Status cancel(std::uint64_t transfer, Direction direction);
  // It has asked for one-sided transfers that are not over.
  [[nodiscard]] bool asks() const { return server_.asked(); }
  // The next notification of its; what has come is there even once it has failed.
  bool take_notification(std::string& bytes) { return server_.take_notification(bytes); }
  // 0 while it is joining.
  [[nodiscard]] std::uint64_t generation() const { return limits_.generation; }

  // Its stream is ready; each returns steps taken. 0: it is as still as it was.
  std::size_t on_ready();
  std::size_t reap(UnpackBatch& batch, Nanoseconds now);
  std::size_t advance(std::uint64_t ticket, Nanoseconds now);
  // How things stand, without the transfers.
  [[nodiscard]] PeerFacts facts(Nanoseconds now) const;
  // A pass has moved something of it.
  void note_moved(Nanoseconds now) {
    moved_at_ = now;
    stall_told_ = false;
  }
  // Chunks are with the Net or channels are being made, and nothing has moved for `limit`. True
  // once in each such time.
  bool stalls(Nanoseconds now, Nanoseconds limit);
  // Nothing of it was heard for longer than peer_timeout: on_time() gives it up.
  [[nodiscard]] bool silent(Nanoseconds now) const;
  // Keepalive. Returns when to come again.
  Nanoseconds on_time(Nanoseconds now);
  // Of its transfers under way; INT64_MAX: none.
  [[nodiscard]] Nanoseconds next_deadline() const {
    return state_ == State::kReady ? requester_.next_deadline() : INT64_MAX;
  }
  [[nodiscard]] bool flushed() const { return link_ == nullptr || link_->flushed(); }
  // Nothing of it goes on by itself: passes may leave it out until a frame of its, its time or the
  // user comes.
  [[nodiscard]] bool still() const;
  bool awake = false;  // The engine's mark: passes go over it.

  [[nodiscard]] std::uint64_t id() const { return id_; }
  // "name (10.0.0.2:41234)"
  [[nodiscard]] const std::string& label() const { return label_; }
  [[nodiscard]] bool joining() const { return state_ == State::kJoining; }
  [[nodiscard]] bool failed() const { return state_ == State::kFailing; }
  // A channel of it has failed: in a moment it fails too, or its channels are rebuilt.
  [[nodiscard]] bool doubted() const { return !send_doubt_.why.ok() || !recv_doubt_.why.ok(); }
  [[nodiscard]] const Status& failure() const { return failure_; }
  // Failed, and the Net has let go of all memory: may be destroyed.
  [[nodiscard]] bool gone() const;
  [[nodiscard]] bool chunks_in_flight() const { return outbound_.busy() || inbound_.busy(); }
  [[nodiscard]] std::uint64_t bytes_in_net() const {  // Roughly.
    return outbound_.bytes_in_net() + inbound_.bytes_in_net();
  }
  // Its stream may be read: frames that come are handled.
  [[nodiscard]] bool listens() const { return state_ == State::kReady && !paused_; }
  [[nodiscard]] bool making_channels() const {
    return outbound_.making_channels() || inbound_.making_channels();
  }
  // Once gone: the connection, whose last frames may still have to be delivered. May be nullptr.
  std::unique_ptr<FrameStream> take_link() { return std::move(link_); }

 private:
  enum class State : std::uint8_t { kJoining, kReady, kLeaving, kFailing };

  void note(EventKind kind, StatusCode code = StatusCode::kOk);
  // Returns whether there was one besides Pings.
  bool handle_frames();
  Status on_frame(const FrameStream::Frame& frame);
  Status on_one_sided_frame(const FrameStream::Frame& frame);
  Status on_manifest(const wire::Manifest& manifest);
  Status on_sum(const wire::Sum& sum);
  Requester::Reading receiving(wire::Manifest::Of of, std::uint64_t slot);
  Status on_goodbye(const FrameStream::Frame& frame);
  Status advance_one_sided(std::size_t& steps);
  void end_of_stream(IoAnswer answer);
  void note_flush(IoAnswer answer);
  void fail_transfers();
  void linger(Nanoseconds now);
  // Rebuilding: rebuild.cc. Not OK: the peer fails.
  void doubt(Doubt& doubt, const Status& status, Nanoseconds now);
  Status resolve_doubts(Nanoseconds now);
  Status rebuild_sending(const Status& cause, Nanoseconds now);
  void tell_rebuild(const char* way, const Rebuilds& rebuilds, std::string_view cause) const;
  Status on_channels_lost(const wire::ChannelsLost& lost);
  Status on_channels_wanted(const wire::ChannelsWanted& wanted);
  Status on_missing(const wire::Missing& missing);
  [[nodiscard]] Nanoseconds last_heard() const;
  [[nodiscard]] Nanoseconds ping_every() const;
  void ping_if_due(Nanoseconds now);
  [[nodiscard]] bool alive() const { return state_ == State::kReady || state_ == State::kLeaving; }

  const Context& context_;
  const std::uint64_t id_;
  std::string label_;
  State state_ = State::kJoining;
  Status failure_;
  std::unique_ptr<FrameStream> link_;
  PeerLimits limits_;
  Outbound outbound_;
  Inbound inbound_;
  Requester requester_;
  Server server_;
  bool paused_ = false;               // Not reading: announcements have no room.
  IoAnswer ended_ = IoAnswer::kSome;  // kEnd or kFailed, met while paused.
  Status goodbye_;                    // Why the peer is leaving.
  Nanoseconds leaving_deadline_ = 0;
  Doubt send_doubt_;
  Doubt recv_doubt_;
  Rebuilds send_rebuilds_;
  Rebuilds recv_rebuilds_;
  Nanoseconds moved_at_;     // When a pass last moved something.
  bool stall_told_ = false;  // Since then.
  bool lingering_ = false;   // Failed, and the other end may not have everything yet.
  Nanoseconds linger_deadline_ = 0;
};

}  // namespace sluice
