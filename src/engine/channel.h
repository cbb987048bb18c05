// The engine's side of a channel: one Net connection, one direction, and the sliding window of the
// chunks in flight on it. The heart of the data path.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "src/base/sliding_window.h"
#include "src/engine/checksums.h"
#include "src/engine/context.h"
#include "src/engine/gpu_spread.h"
#include "src/engine/report.h"
#include "src/engine/staging.h"
#include "src/net/net.h"

namespace sluice {

inline constexpr std::uint32_t kLargestWindow = 64;

// A chunk that has left its window.
struct ReleasedChunk {
  std::uint64_t transfer = 0;
  bool good = false;        // The Net has sent it; it is in place.
  std::uint32_t share = 0;  // If it is summed: what it adds to the remainder of its transfer.
};

// Sends. post() fills the window, try_release_oldest() empties it; nothing else touches it. A chunk
// that the Net does not take from where it is, is packed into staging first.
class OutboundChannel {
 public:
  OutboundChannel(const Context& context, std::unique_ptr<SendChannel> net_channel,
                  std::uint64_t peer, std::uint32_t index);

  [[nodiscard]] bool full() const { return window_.full(); }
  [[nodiscard]] bool empty() const { return window_.empty(); }
  [[nodiscard]] std::uint32_t in_flight() const { return window_.in_flight(); }  // Chunks.
  // Only when not full(). What the Net does not take, and what is spread, goes through staging.
  PostAnswer post(std::uint64_t transfer, const ChunkPlace& from);
  // Roughly: as if all were as long as the oldest.
  [[nodiscard]] std::uint64_t bytes_in_net() const {
    const std::uint32_t chunks = window_.waiting_to_unpack();
    return chunks == 0 ? 0 : chunks * window_.oldest_arrived().bytes;
  }
  [[nodiscard]] ChannelFacts facts() const;
  // Hands to the Net what has been packed; returns how many chunks.
  std::size_t post_packed();
  // Asks the Net about the oldest chunk alone. kReleased: its place is free and `chunk` is what it
  // was. kFailed: the same, and the channel is dead.
  Release try_release_oldest(ReleasedChunk& chunk);
  // Gives up. What is being packed is dropped when the Gpu has let go of it.
  void abort();
  [[nodiscard]] Status failure() const {
    return failure_.ok() ? net_channel_->failure() : failure_;
  }

 private:
  struct Chunk {
    std::uint64_t transfer = 0;
    std::uint64_t bytes = 0;
    const std::byte* slot = nullptr;  // In staging; nullptr: posted from where it is.
    std::uint64_t batch = 0;          // That packs it.
    bool dropped = false;             // The Net never had it.
    GpuSum sum;
    std::uint64_t behind = 0;  // Bytes of its transfer.
    bool net_sums = false;     // The Net has taken its remainder when it is Done.
    std::uint32_t share = 0;   // If the host has summed it here.
  };

  bool summed(const Chunk& chunk);
  [[nodiscard]] std::uint32_t share_of(const Chunk& chunk) const;
  void net_sums(bool on);
  PostAnswer fail(const Status& status);
  void enter(Chunk chunk, const ChunkPlace& from);
  PostAnswer pack(std::uint64_t transfer, const ChunkPlace& from);

  const Context& context_;
  std::unique_ptr<SendChannel> net_channel_;
  SlidingWindow<Chunk, kLargestWindow> window_;
  Staging staging_;
  PieceLists pieces_;
  GpuSums sums_;
  const bool net_can_sum_;
  bool net_sums_ = false;  // What is posted now.
  bool aborted_ = false;
  std::uint64_t tests_ = 0;  // Of the oldest chunk, all answered Pending.
  Status failure_;           // Other than the Net's.
  std::uint64_t peer_;       // For the log.
  std::uint32_t index_;
  ChannelRecord record_;
};

// Receives: announced by manifests, then posted, arrived, unpacking, released.
class InboundChannel {
 public:
  // Chunks that may be announced ahead of the window. The sender may run ahead by what the sockets
  // hold; when this is full the engine stops reading the control connection until data has come.
  static constexpr std::uint32_t kMostAnnounced = 512;

  InboundChannel(const Context& context, std::uint64_t peer, std::uint32_t index);

  // The Net's channel comes later than the first announcements.
  [[nodiscard]] bool connected() const { return net_channel_ != nullptr; }
  void connect(std::unique_ptr<RecvChannel> net_channel) { net_channel_ = std::move(net_channel); }

  [[nodiscard]] std::uint32_t room_for_announced() const {
    return kMostAnnounced - static_cast<std::uint32_t>(announced_tail_ - announced_head_);
  }
  // What the Net does not take, and what is spread, comes through staging.
  void announce(std::uint64_t transfer, const ChunkPlace& into);

  // Roughly: as if all were as long as the oldest.
  [[nodiscard]] std::uint64_t bytes_in_net() const {
    const std::uint32_t chunks = window_.waiting_to_arrive();
    return chunks == 0 ? 0 : chunks * window_.oldest_posted().into.bytes;
  }

  [[nodiscard]] ChannelFacts facts() const;

  // The four steps; each returns steps taken. A failure shows in failure() and failed().
  std::size_t reap_posted(UnpackBatch& batch);       // test the oldest posted
  std::size_t unpack_arrived(std::uint64_t ticket);  // what went into the batch is being unpacked
  // Tells released(chunk), oldest first.
  template <typename Released>
  std::size_t retire_unpacked(Gpu& gpu, Released&& released);
  template <typename Posted>
  std::size_t post_next(Posted&& posted);  // tells posted(transfer)

  // Nothing is posted or waiting to be.
  [[nodiscard]] bool idle() const { return window_.empty() && announced_head_ == announced_tail_; }
  [[nodiscard]] bool drained() const { return window_.empty(); }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] Status failure() const { return failure_; }
  // Gives up. From now on chunks are only reported, into nowhere.
  void abort();

 private:
  struct Announced {
    std::uint64_t transfer = 0;
    ChunkPlace into;
  };
  struct Chunk {
    std::uint64_t transfer = 0;
    ChunkPlace into;
    std::byte* slot = nullptr;  // In staging; nullptr: posted where it goes.
    Fragment in_slot{};         // All of it: what is unpacked.
    Arrival arrival;
    std::uint64_t ticket = 0;  // 0: in place.
    bool arrived = false;      // Reported Done: to be consumed.
    bool good = false;         // Its bytes are, or will be, in place.
    GpuSum sum;
    bool net_sums = false;  // The Net has taken its remainder when it is Done.
  };

  void fail(Status status);
  // It has a slot. Opens it, the first time.
  bool staging_ready();
  // Has the Gpu sum what it has unpacked, where that is its own to do.
  void start_sums(Gpu& gpu);
  // The Gpu has unpacked it, and summed it if it had to.
  bool in_place(Gpu& gpu, Chunk& chunk);
  void give_up(Chunk& chunk, const Status& status);
  [[nodiscard]] std::uint32_t share_of(const Chunk& chunk) const;
  void net_sums(bool on);
  void take_arrival(Chunk& chunk, UnpackBatch& batch);
  [[nodiscard]] bool fits(const Chunk& chunk);

  std::unique_ptr<RecvChannel> net_channel_;
  SlidingWindow<Chunk, kLargestWindow> window_;
  Staging staging_;
  PieceLists pieces_;
  SpreadUnpacks spread_unpacks_;
  GpuSums sums_;
  const bool net_can_sum_;
  bool net_sums_ = false;  // What is posted now.
  std::array<Announced, kMostAnnounced> announced_{};
  std::uint64_t announced_head_ = 0;
  std::uint64_t announced_tail_ = 0;
  bool failed_ = false;
  bool aborted_ = false;
  std::uint64_t tests_ = 0;  // Of the oldest posted chunk, all answered Pending.
  Status failure_;
  std::uint64_t peer_;
  std::uint32_t index_;
  ChannelRecord record_;
};

template <typename Released>
std::size_t InboundChannel::retire_unpacked(Gpu& gpu, Released&& released) {
  std::size_t steps = 0;
  start_sums(gpu);
  while (window_.waiting_to_release() > 0) {
    Chunk& chunk = window_.oldest_unpacking();
    if (!in_place(gpu, chunk)) break;
    if (chunk.arrived) net_channel_->consume_oldest();
    if (chunk.slot != nullptr) staging_.give_back();
    const ReleasedChunk done{chunk.transfer, chunk.good, share_of(chunk)};
    window_.release();
    record_.released(done.transfer, done.good);
    ++steps;
    released(done);
  }
  return steps;
}

template <typename Posted>
std::size_t InboundChannel::post_next(Posted&& posted) {
  std::size_t steps = 0;
  while (connected() && !failed_ && !aborted_ && announced_head_ < announced_tail_ &&
         !window_.full()) {
    const Announced& next = announced_[announced_head_ % kMostAnnounced];
    const std::span<const ChunkPiece> pieces = next.into.spread()
                                                   ? pieces_.list(next.into, window_.next_place())
                                                   : std::span<const ChunkPiece>();
    const bool staged = next.into.memory == nullptr && pieces.empty();
    if (staged && !staging_ready()) break;
    std::byte* const slot = staged ? staging_.next() : nullptr;
    net_sums(!staged && next.into.summed_by == SummedBy::kHost);
    const PostAnswer answer =
        !pieces.empty() ? net_channel_->post_pieces(pieces)
        : staged        ? net_channel_->post(slot, next.into.bytes, staging_.memory())
                        : net_channel_->post(next.into.data, next.into.bytes, *next.into.memory);
    if (answer == PostAnswer::kBusy) {
      record_.busy();
      break;
    }
    if (answer == PostAnswer::kFailed) {
      fail(net_channel_->failure());
      break;
    }
    if (staged) staging_.take();
    Chunk& chunk = window_.next();
    chunk = {next.transfer, next.into, slot, {}, {}, 0, false, false, {}, net_sums_};
    window_.post();
    record_.posted(next.transfer, next.into.bytes);
    ++announced_head_;
    ++steps;
    posted(next.transfer);
  }
  return steps;
}

}  // namespace sluice
