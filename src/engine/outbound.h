// The sending direction of a peer: sends that wait for a credit, the channels, and the messages
// whose chunks are on their way. The sender alone decides which chunk goes on which channel, and
// announces it in manifests in the order of posting. Urgent messages go first; those of one
// priority take turns, so that a long one does not keep out a short one.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "src/engine/bootstrap.h"
#include "src/engine/channel.h"
#include "src/engine/context.h"
#include "src/engine/frame_stream.h"
#include "src/engine/wire.h"

namespace sluice {

class Outbound {
 public:
  Outbound(const Context& context, std::uint64_t peer);

  void enqueue(std::uint64_t transfer) { waiting_.push(transfer); }
  // Begins to post the chunks of a write that was granted, or of a read that is served: of at most
  // `most` bytes each. False: the control connection is full; again in a later pass.
  bool launch(FrameStream& link, const PeerLimits& limits, std::uint64_t transfer,
              std::uint64_t most);

  // No more chunks of it are posted.
  void recall(std::uint64_t transfer);
  // True: a message that had not begun, and never will.
  bool forget_waiting(std::uint64_t transfer) { return waiting_.remove(transfer); }

  // Frames of the peer's. Not OK: it broke the protocol.
  Status on_credit(const wire::Credit& credit);
  Status on_channels_offered(const wire::ChannelsOffered& offered);
  // Of what was posted on the channels before; kPeerLost: it cannot be sent again.
  Status on_missing(const wire::Missing& missing);

  // One pass: connect channels, release, start what has a credit, post. Not OK: a channel failed or
  // could not be made. Adds to `steps`.
  Status progress(FrameStream& link, const PeerLimits& limits, Nanoseconds now, std::size_t& steps);

  // Gives the channels up, until abort() or renew(); progress() releases what the Net lets go of.
  void lose();
  // The channels that lose() gave up are made anew as soon as nothing is posted on them. `cause` is
  // told to the peer.
  void renew(const Status& cause);
  // A one-sided transfer of which chunks are missing at the other end begins anew.
  void send_again(std::uint64_t transfer);
  [[nodiscard]] bool renewing() const {
    return awaits_missing_ || (state_ == State::kLost && !renewed_for_.ok());
  }
  // The sets of channels that were asked for so far.
  [[nodiscard]] std::uint32_t sets() const { return sets_; }

  // Nothing more is posted; what is posted goes on. drain() releases it.
  void stop();
  // Gives up: channels are aborted. drain() then releases what the Net has let go of.
  void abort();
  std::size_t drain();
  [[nodiscard]] bool drained() const;

  // Nothing to do before a frame of the peer's, or a message, comes.
  [[nodiscard]] bool still() const;
  // That are not given up.
  [[nodiscard]] bool has_channels() const { return !channels_.empty() && state_ != State::kLost; }
  [[nodiscard]] bool busy() const { return in_flight_ > 0; }  // Chunks are in the Net.
  [[nodiscard]] std::uint64_t bytes_in_net() const;           // Roughly.
  void add_facts(PeerFacts& facts) const;
  [[nodiscard]] bool making_channels() const { return state_ == State::kConnecting; }

 private:
  enum class State : std::uint8_t {
    kNone,
    kWanted,
    kConnecting,
    kReady,
    kLost,
    kStopped,
    kAborted,
  };

  // Messages of one priority that have started; the front one is having its chunks posted.
  struct Turns {
    TransferQueue queue;
    std::uint64_t left;  // Bytes of the front one's turn.
    TransferQueue sums;  // All announced, their Sum is to be told.
  };

  Status connect_channels(Nanoseconds now, std::size_t& steps);
  void want_channels(FrameStream& link, const PeerLimits& limits);
  void want_anew(FrameStream& link, const PeerLimits& limits, std::size_t& steps);
  Status release(std::size_t& steps);
  void released(const ReleasedChunk& chunk);
  void start_waiting(FrameStream& link, const PeerLimits& limits, std::size_t& steps);
  bool start(FrameStream& link, const PeerLimits& limits, std::uint64_t id);
  void begin(FrameStream& link, const PeerLimits& limits, std::uint64_t id, std::uint64_t most);
  void activate(std::uint64_t id);
  Turns& turns_of(const Transfer& message);
  Status post_next(FrameStream& link, Nanoseconds now, std::size_t& steps);
  void tell_sums(TransferQueue& sums, FrameStream& link, std::size_t& steps);
  // Of one priority, until nothing more can be posted.
  Status post_turns(Turns& turns, FrameStream& link, std::size_t& steps);
  Status post_message(FrameStream& link, std::uint64_t id, Transfer& message, std::uint64_t& turn,
                      std::size_t& steps);
  // The channel for the next chunk, in next_channel_; nullptr: none has a place in its window.
  OutboundChannel* free_channel(Priority priority);
  [[nodiscard]] std::uint64_t chunk_bytes_for(std::uint64_t message_bytes,
                                              const PeerLimits& limits) const;

  const Context& context_;
  const std::uint64_t peer_;
  std::uint64_t turn_bytes_ = 0;  // A message of up to this is not interrupted by its like.
  TransferQueue waiting_;         // No credit yet, or not started.
  Turns urgent_;
  Turns normal_;
  Nanoseconds urgent_until_ = 0;     // Until then the others keep windows short.
  std::uint32_t normal_window_ = 0;  // In this pass.

  std::vector<std::uint64_t> credits_;  // A ring of capacities.
  std::uint64_t credits_received_ = 0;
  std::uint64_t sends_started_ = 0;  // Also the next sequence.

  State state_ = State::kNone;
  std::uint32_t sets_ = 0;
  Status renewed_for_;           // Why the channels before were given up.
  bool awaits_missing_ = false;  // Until it has come nothing is started: it is what is in flight.
  Nanoseconds channels_deadline_ = 0;
  std::vector<std::unique_ptr<Connector>> connectors_;
  std::vector<std::unique_ptr<SendChannel>> made_;  // While connecting: by index.
  std::vector<OutboundChannel> channels_;
  std::size_t next_channel_ = 0;
  std::uint64_t busy_channels_ = 0;  // Bits: answered Busy in this pass.
  std::uint64_t in_flight_ = 0;      // Chunks on all channels.
  wire::Manifest manifest_;          // Being filled.
};

}  // namespace sluice
