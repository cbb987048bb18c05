// The receiving direction of a peer: receives that were posted, the credits that tell the peer of
// them, the channels it asked for, and the chunks its manifests announce.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/engine/bootstrap.h"
#include "src/engine/channel.h"
#include "src/engine/context.h"
#include "src/engine/frame_stream.h"
#include "src/engine/wire.h"

namespace sluice {

class Inbound {
 public:
  Inbound(const Context& context, std::uint64_t peer);

  void enqueue(std::uint64_t transfer) { waiting_.push(transfer); }
  // True: a receive of which the peer had not been told, and never will be.
  bool forget_waiting(std::uint64_t transfer) { return waiting_.remove(transfer); }

  // Frames of the peer's. Not OK: it broke the protocol, or the Net cannot listen.
  Status on_small(const wire::Small& small);
  Status on_manifest(const wire::Manifest& manifest);  // Of a message.
  // Of the one-sided transfer `id`, to which it leads.
  Status on_manifest(const wire::Manifest& manifest, std::uint64_t id);
  // Of chunks that come although their read was aborted: they are received and dropped.
  Status on_unwanted(const wire::Manifest& manifest);
  Status on_sum(const wire::Sum& sum);                    // Of a message.
  Status on_sum(const wire::Sum& sum, std::uint64_t id);  // Of a one-sided transfer.
  Status on_too_long(const wire::TooLong& too_long);
  // The first listens; any later one gives up the channels of the one before, and when nothing is
  // posted on them any more advance() listens. `reach`: our address as the peer sees it.
  Status on_channels_wanted(const wire::ChannelsWanted& wanted, std::string_view reach,
                            Nanoseconds now);
  // From the first Manifest on: every transfer that moves in chunks has a Sum.
  void check_data() { checks_ = true; }
  // False: reading the control connection must wait until chunks have been posted, and small
  // messages unpacked.
  [[nodiscard]] bool room_for_frame() const;

  // The two halves of a pass; what arrived as fragments goes through `batch` in between. Not OK: a
  // channel failed or could not be made. Add to `steps`.
  Status reap(UnpackBatch& batch, Nanoseconds now, std::size_t& steps);
  Status advance(FrameStream& link, std::uint64_t ticket, std::size_t& steps);

  // Gives the channels up, until abort() or the peer wants others; advance() tells it `cause`.
  void lose(const Status& cause);
  // The sets of channels that the peer has asked for so far.
  [[nodiscard]] std::uint32_t sets() const { return sets_; }

  // Gives up: channels are aborted; reap() and advance() go on until drained().
  void abort();
  [[nodiscard]] bool drained() const;
  // Every announced chunk has arrived, but for those on channels that have failed, which do not
  // come any more: what a peer that said Goodbye still owes.
  [[nodiscard]] bool settled() const;

  // Nothing to do before a frame of the peer's, or a receive, comes.
  [[nodiscard]] bool still() const;
  [[nodiscard]] bool busy() const { return in_flight_ > 0; }  // Chunks are in the Net.
  [[nodiscard]] std::uint64_t bytes_in_net() const;           // Roughly.
  void add_facts(PeerFacts& facts) const;
  [[nodiscard]] bool making_channels() const { return !listeners_.empty(); }
  [[nodiscard]] Nanoseconds last_arrival() const { return last_arrival_; }

 private:
  // Small messages for memory that the host does not reach, on their way there.
  static constexpr std::uint32_t kMostSmall = 64;
  struct SmallArrival {
    std::uint64_t transfer = 0;
    std::byte* slot = nullptr;
    Fragment in_slot{};
    std::span<std::byte> into;
    std::uint64_t ticket = 0;  // UINT64_MAX: in the batch of this pass.
  };

  Status stage_small(std::uint64_t id, Transfer& receive, std::span<const std::byte> bytes);
  void reap_small(UnpackBatch& batch);
  std::size_t advance_small(std::uint64_t ticket);
  Status accept_channels(Nanoseconds now, std::size_t& steps);
  void offer_channels(FrameStream& link, std::size_t& steps);
  void send_credits(FrameStream& link, std::size_t& steps);
  Status listen(std::uint32_t count, std::string_view reach, Nanoseconds now);
  void abort_channels();
  Status advance_lost(FrameStream& link, std::size_t& steps);
  void begin_anew(wire::Missing& missing);
  // The receive a peer's sequence names, or nullptr if there is none that fits a message.
  Transfer* receive_of(std::uint64_t sequence, std::uint64_t& id);
  Status announce(const wire::Manifest& manifest, std::uint64_t id, Transfer& receive);
  Status announce(const wire::Manifest::Chunk& chunk, std::uint64_t id, const ChunkPlace& into);
  void finish(std::uint64_t id, const Transfer& receive, const Status& status);
  void released(const ReleasedChunk& chunk);
  void settle(std::uint64_t id, Transfer& receive);

  const Context& context_;
  const std::uint64_t peer_;
  TransferQueue waiting_;                // No credit sent yet.
  std::vector<std::uint64_t> receives_;  // A ring by sequence: credit sent, not complete. 0: free.
  std::uint64_t next_sequence_ = 0;      // Of the next credit.

  bool checks_ = false;
  std::uint32_t sets_ = 0;
  bool aborted_ = false;
  bool lost_ = false;              // The channels are given up, the peer has not given them up.
  Status lost_for_;                // Not OK: to be told to the peer.
  std::uint32_t wanted_anew_ = 0;  // Not 0: so many, when the channels are drained.
  Nanoseconds channels_deadline_ = 0;
  std::vector<std::unique_ptr<Listener>> listeners_;  // nullptr: accepted. Empty: all are.
  bool offered_ = true;                               // The handles have been told.
  std::vector<std::unique_ptr<InboundChannel>> channels_;
  Staging small_staging_;
  SlidingWindow<SmallArrival, kMostSmall> small_;
  Status failure_;  // Other than a channel's.
  std::uint64_t in_flight_ = 0;
  Nanoseconds last_arrival_ = 0;
};

}  // namespace sluice
