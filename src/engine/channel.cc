#include "src/engine/channel.h"

#include <fmt/format.h>

#include <utility>

#include "src/base/crc32c.h"
#include "src/base/log.h"

namespace sluice {

OutboundChannel::OutboundChannel(const Context& context, std::unique_ptr<SendChannel> net_channel,
                                 std::uint64_t peer, std::uint32_t index)
    : context_(context),
      net_channel_(std::move(net_channel)),
      window_(context.window),
      staging_(context.net, context.gpu, context.chunk_bytes, context.staging, Staging::For::kNet),
      pieces_(context.window, context.most_pieces),
      sums_(context.gpu, context.sums, context.window),
      net_can_sum_(context.net.devices()[context.device].takes_remainders),
      peer_(peer),
      index_(index),
      record_(context.recorder, peer, index, kSends) {}

PostAnswer OutboundChannel::post(std::uint64_t transfer, const ChunkPlace& from) {
  if (from.summed_by == SummedBy::kGpu) {
    if (Status status = sums_.open(); !status.ok()) return fail(status);
    if (sums_.full()) return PostAnswer::kBusy;
  }
  const std::span<const ChunkPiece> pieces =
      from.spread() ? pieces_.list(from, window_.next_place()) : std::span<const ChunkPiece>();
  if (from.memory == nullptr && pieces.empty()) return pack(transfer, from);
  if (window_.waiting_to_arrive() > 0) return PostAnswer::kBusy;  // Not before those packed.
  net_sums(from.summed_by == SummedBy::kHost);
  const PostAnswer answer = pieces.empty() ? net_channel_->post(from.data, from.bytes, *from.memory)
                                           : net_channel_->post_pieces(pieces);
  if (answer == PostAnswer::kBusy) record_.busy();
  if (answer != PostAnswer::kPosted) return answer;
  enter({transfer, from.bytes, nullptr, 0, false, {}, from.behind, net_sums_, 0}, from);
  window_.arrive();
  record_.posted(transfer, from.bytes);
  SLUICE_LOG(kTrace, "channel", "peer {} send channel {} posted bytes {} in_flight {}/{}", peer_,
             index_, from.bytes, window_.in_flight(), window_.limit());
  return answer;
}

PostAnswer OutboundChannel::fail(const Status& status) {
  failure_ = status.with_context(fmt::format("send channel {}", index_));
  return PostAnswer::kFailed;
}

// The Net may have it already: it sends while the host sums.
void OutboundChannel::enter(Chunk chunk, const ChunkPlace& from) {
  if (from.summed_by == SummedBy::kGpu) chunk.sum = sums_.start(from, window_.next_place());
  if (from.summed_by == SummedBy::kHost && !chunk.net_sums) chunk.share = host_share(from);
  window_.next() = chunk;
  window_.post();
}

PostAnswer OutboundChannel::pack(std::uint64_t transfer, const ChunkPlace& from) {
  if (Status status = staging_.open(); !status.ok()) return fail(status);
  const bool gathered = from.spread() && from.layout->on_host();
  if (staging_.full() || (!gathered && context_.packs.full())) return PostAnswer::kBusy;
  std::byte* const slot = staging_.next();
  staging_.take();
  std::uint64_t batch = 0;
  if (gathered) {
    gather(from, slot);
  } else if (from.spread()) {
    batch = pack_spread(from, slot, context_.packs);
  } else {
    batch = context_.packs.add({from.data, slot, from.bytes});
  }
  enter({transfer, from.bytes, slot, batch, false, {}, from.behind, false, 0}, from);
  record_.packing(transfer);
  if (gathered) post_packed();
  return PostAnswer::kPosted;
}

std::size_t OutboundChannel::post_packed() {
  std::size_t steps = 0;
  while (window_.waiting_to_arrive() > 0) {
    Chunk& chunk = window_.oldest_posted();
    const GpuAnswer packed = context_.packs.test(context_.gpu, chunk.batch);
    if (packed == GpuAnswer::kPending) break;
    if (packed == GpuAnswer::kFailed) failure_ = context_.gpu.failure();
    chunk.dropped = aborted_ || !failure_.ok();
    if (!chunk.dropped) {
      net_sums(false);
      const PostAnswer answer = net_channel_->post(chunk.slot, chunk.bytes, staging_.memory());
      if (answer == PostAnswer::kBusy) {
        record_.busy();
        break;
      }
      chunk.dropped = answer == PostAnswer::kFailed;
    }
    record_.posted(chunk.transfer, chunk.bytes);
    window_.arrive();
    ++steps;
  }
  return steps;
}

void OutboundChannel::abort() {
  aborted_ = true;
  record_.aborted();
  net_channel_->abort();
}

// Its memory is the Gpu's to read until the sum is Done, whatever has become of the channel.
bool OutboundChannel::summed(const Chunk& chunk) {
  if (chunk.sum.batch == 0) return true;
  const GpuAnswer answer = sums_.test(chunk.sum);
  if (answer == GpuAnswer::kFailed && failure_.ok()) failure_ = context_.gpu.failure();
  return answer != GpuAnswer::kPending;
}

std::uint32_t OutboundChannel::share_of(const Chunk& chunk) const {
  if (chunk.sum.batch != 0) return GpuSums::share(chunk.sum, chunk.behind);
  return chunk.net_sums ? crc32c_shifted(net_channel_->remainder(), chunk.behind) : chunk.share;
}

void OutboundChannel::net_sums(bool on) {
  if (!net_can_sum_ || on == net_sums_) return;
  net_channel_->take_remainders(net_sums_ = on);
}

Release OutboundChannel::try_release_oldest(ReleasedChunk& released) {
  bool failed = false;
  const Release answer = window_.try_release_oldest([&](const Chunk& chunk) {
    if (!summed(chunk)) return Release::kNotYet;
    released = {chunk.transfer, false, 0};
    if (chunk.dropped) {
      failed = true;
      staging_.give_back();
      return Release::kReleased;
    }
    const TestAnswer test = net_channel_->test_oldest();
    SLUICE_LOG(kDebug, "channel",
               "peer {} send channel {} try_release_oldest rc {} done {} bytes {} in_flight {}/{}",
               peer_, index_, test == TestAnswer::kFailed ? 1 : 0,
               test == TestAnswer::kDone ? 1 : 0, chunk.bytes, window_.in_flight(),
               window_.limit());
    if (test == TestAnswer::kPending) return ++tests_, Release::kNotYet;
    tests_ = 0;
    if (chunk.slot != nullptr) staging_.give_back();
    // A failed chunk has been reported too: its memory is let go and its place is free.
    failed = test == TestAnswer::kFailed || !failure_.ok();
    released.good = !failed;
    if (!failed) released.share = share_of(chunk);
    return Release::kReleased;
  });
  if (answer == Release::kReleased) record_.released(released.transfer, !failed);
  return failed ? Release::kFailed : answer;
}

ChannelFacts OutboundChannel::facts() const {
  return {
      true,   index_, window_.in_flight(),  window_.limit(),          window_.waiting_to_unpack(),
      tests_, 0,      record_.oldest_for(), net_channel_->diagnosis()};
}

InboundChannel::InboundChannel(const Context& context, std::uint64_t peer, std::uint32_t index)
    : window_(context.window),
      staging_(context.net, context.gpu, context.chunk_bytes, context.staging, Staging::For::kNet),
      pieces_(context.window, context.most_pieces),
      spread_unpacks_(context.window),
      sums_(context.gpu, context.sums, context.window),
      net_can_sum_(context.net.devices()[context.device].takes_remainders),
      peer_(peer),
      index_(index),
      record_(context.recorder, peer, index, kReceives) {}

std::uint32_t InboundChannel::share_of(const Chunk& chunk) const {
  const ChunkPlace& place = chunk.into;
  if (!chunk.good || place.summed_by == SummedBy::kNobody) return 0;
  if (chunk.sum.batch != 0) return GpuSums::share(chunk.sum, place.behind);
  return chunk.net_sums ? crc32c_shifted(chunk.arrival.remainder, place.behind) : host_share(place);
}

void InboundChannel::net_sums(bool on) {
  if (!net_can_sum_ || on == net_sums_) return;
  net_channel_->take_remainders(net_sums_ = on);
}

ChannelFacts InboundChannel::facts() const {
  return {false,
          index_,
          window_.in_flight(),
          window_.limit(),
          window_.waiting_to_arrive(),
          tests_,
          kMostAnnounced - room_for_announced(),
          record_.oldest_for(),
          connected() ? net_channel_->diagnosis() : ""};
}

void InboundChannel::announce(std::uint64_t transfer, const ChunkPlace& into) {
  SLUICE_CHECK(room_for_announced() > 0, "channel {}", index_);
  announced_[announced_tail_++ % kMostAnnounced] = {transfer, into};
}

std::size_t InboundChannel::reap_posted(UnpackBatch& batch) {
  std::size_t steps = 0;
  while (window_.waiting_to_arrive() > 0 && !batch.full()) {
    Chunk& chunk = window_.oldest_posted();
    const TestAnswer test = net_channel_->test_oldest(chunk.arrival);
    SLUICE_LOG(kDebug, "channel",
               "peer {} recv channel {} test oldest rc {} done {} bytes {} in_flight {}/{}", peer_,
               index_, test == TestAnswer::kFailed ? 1 : 0, test == TestAnswer::kDone ? 1 : 0,
               chunk.into.bytes, window_.in_flight(), window_.limit());
    tests_ = test == TestAnswer::kPending ? tests_ + 1 : 0;
    if (test == TestAnswer::kPending) break;
    if (test == TestAnswer::kFailed) {
      fail(net_channel_->failure());
    } else {
      take_arrival(chunk, batch);
    }
    record_.arrived(chunk.transfer);
    window_.arrive();
    ++steps;
  }
  return steps;
}

// The manifest named this chunk's length, so anything else is a fault of the Net or of the peer.
bool InboundChannel::fits(const Chunk& chunk) {
  const Arrival& arrival = chunk.arrival;
  const std::uint64_t bytes = chunk.into.bytes;
  if (arrival.bytes != bytes) {
    fail({StatusCode::kProtocol,
          fmt::format("a chunk of {} bytes arrived with {}", bytes, arrival.bytes)});
    return false;
  }
  if (!arrival.fragments.empty() &&
      !fragments_fit(arrival.fragments, arrival.pool.size(), bytes, arrival.bytes)) {
    fail({StatusCode::kProtocol,
          fmt::format("the Net gave {} fragments that do not fit its pool of {} bytes or a chunk "
                      "of {}",
                      arrival.fragments.size(), arrival.pool.size(), bytes)});
    return false;
  }
  return true;
}

void InboundChannel::take_arrival(Chunk& chunk, UnpackBatch& batch) {
  chunk.arrived = true;
  if (!fits(chunk)) return;
  const Arrival& arrival = chunk.arrival;
  const ChunkPlace& into = chunk.into;
  const bool in_slot = arrival.fragments.empty() && chunk.slot != nullptr;
  chunk.good = true;
  if (arrival.fragments.empty() && !in_slot) return;
  if (aborted_ || into.nowhere()) {  // Nobody waits for its bytes any more.
    chunk.good = false;
    return;
  }
  const std::span<const std::byte> pool = in_slot ? staging_.bytes() : arrival.pool;
  std::span<const Fragment> fragments = arrival.fragments;
  if (in_slot) {
    chunk.in_slot = {static_cast<std::uint64_t>(chunk.slot - pool.data()), into.bytes, 0};
    fragments = {&chunk.in_slot, 1};
  }
  if (into.spread() && into.layout->on_host()) {
    for (const Fragment& fragment : fragments) {
      scatter(into, fragment.destination_offset,
              pool.subspan(fragment.pool_offset, fragment.length));
    }
    return;
  }
  if (into.spread()) {
    spread_unpacks_.add(into, fragments, pool, window_.oldest_posted_place(), batch);
  } else {
    batch.add({fragments, pool, {into.data, into.bytes}});
  }
  chunk.ticket = UINT64_MAX;  // unpack_arrived() knows the right one.
}

std::size_t InboundChannel::unpack_arrived(std::uint64_t ticket) {
  std::size_t steps = 0;
  while (window_.waiting_to_unpack() > 0) {
    Chunk& chunk = window_.oldest_arrived();
    if (chunk.ticket != 0) chunk.ticket = ticket;
    record_.unpacking(chunk.transfer, chunk.ticket != 0);
    window_.unpack();
    ++steps;
  }
  return steps;
}

bool InboundChannel::in_place(Gpu& gpu, Chunk& chunk) {
  const auto over = [&](GpuAnswer answer) {
    if (answer == GpuAnswer::kFailed) give_up(chunk, gpu.failure());
    return answer != GpuAnswer::kPending;
  };
  if (chunk.ticket != 0 && !over(gpu.test(chunk.ticket))) return false;
  if (chunk.into.summed_by != SummedBy::kGpu || !chunk.good) return true;
  return chunk.sum.batch != 0 && over(sums_.test(chunk.sum));
}

// All at once, not each when it is the oldest: the window would wait for a launch for every chunk.
void InboundChannel::start_sums(Gpu& gpu) {
  window_.for_each_unpacking([&](Chunk& chunk, std::uint32_t place) {
    const bool due = chunk.into.summed_by == SummedBy::kGpu && chunk.good;
    if (!due || chunk.sum.batch != 0) return true;
    if (chunk.ticket != 0 && gpu.test(chunk.ticket) != GpuAnswer::kDone) return false;
    if (Status status = sums_.open(); !status.ok()) {
      give_up(chunk, status);
      return true;
    }
    if (sums_.full()) return false;
    chunk.sum = sums_.start(chunk.into, place);
    return true;
  });
}

void InboundChannel::give_up(Chunk& chunk, const Status& status) {
  fail(status);
  chunk.good = false;
}

bool InboundChannel::staging_ready() {
  if (Status status = staging_.open(); !status.ok()) fail(status);
  return !failed_ && !staging_.full();
}

void InboundChannel::fail(Status status) {
  if (failed_) return;
  failed_ = true;
  failure_ = status.with_context(fmt::format("recv channel {}", index_));
}

void InboundChannel::abort() {
  if (aborted_) return;
  aborted_ = true;
  record_.aborted();
  announced_head_ = announced_tail_;
  if (net_channel_ != nullptr) net_channel_->abort();
}

}  // namespace sluice
