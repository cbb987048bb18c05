#include "src/engine/inbound.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/base/crc32c.h"
#include "src/base/log.h"

namespace sluice {
namespace {

Status protocol_error(std::string message) { return {StatusCode::kProtocol, std::move(message)}; }

}  // namespace

Inbound::Inbound(const Context& context, std::uint64_t peer)
    : context_(context),
      peer_(peer),
      waiting_(context.transfers),
      receives_(wire::kMostCredits),
      small_staging_(context.net, context.gpu, context.options.small_bytes, kMostSmall,
                     Staging::For::kHost),
      small_(kMostSmall) {}

Transfer* Inbound::receive_of(std::uint64_t sequence, std::uint64_t& id) {
  if (sequence >= next_sequence_) return nullptr;
  id = receives_[sequence % wire::kMostCredits];
  Transfer* receive = id == 0 ? nullptr : context_.transfers.find(id);
  return receive != nullptr && receive->sequence == sequence ? receive : nullptr;
}

void Inbound::finish(std::uint64_t id, const Transfer& receive, const Status& status) {
  receives_[receive.sequence % wire::kMostCredits] = 0;
  context_.transfers.complete(id, status.ok() ? receive.message_bytes : 0, status);
}

Status Inbound::on_small(const wire::Small& small) {
  std::uint64_t id = 0;
  Transfer* receive = receive_of(small.sequence, id);
  if (receive == nullptr || receive->chunk_bytes != 0 || small.bytes.size() > receive->length) {
    return protocol_error(
        fmt::format("a Small of {} bytes for sequence {}, which no receive awaits",
                    small.bytes.size(), small.sequence));
  }
  if (!receive->on_host && !small.bytes.empty()) {
    return stage_small(id, *receive, small.bytes);
  }
  if (!small.bytes.empty()) std::memcpy(receive->data, small.bytes.data(), small.bytes.size());
  receive->message_bytes = small.bytes.size();
  finish(id, *receive, {});
  return {};
}

// Only the Gpu reaches where it goes: from here on it is like a message of one chunk.
Status Inbound::stage_small(std::uint64_t id, Transfer& receive, std::span<const std::byte> bytes) {
  if (bytes.size() > context_.options.small_bytes) {
    return protocol_error(fmt::format("a Small of {} bytes, {} is the most", bytes.size(),
                                      context_.options.small_bytes));
  }
  if (Status status = small_staging_.open(); !status.ok()) return status;
  std::byte* const slot = small_staging_.next();
  small_staging_.take();
  std::memcpy(slot, bytes.data(), bytes.size());
  const auto offset = static_cast<std::uint64_t>(slot - small_staging_.bytes().data());
  small_.next() = {id, slot, {offset, bytes.size(), 0}, {receive.data, bytes.size()}, 0};
  small_.post();
  small_.arrive();
  receive.message_bytes = receive.chunk_bytes = bytes.size();
  receive.chunks = receive.announced = receive.in_net = 1;
  ++in_flight_;
  return {};
}

// Each arrival is put in a batch once: all that waited here were in none.
void Inbound::reap_small(UnpackBatch& batch) {
  small_.for_each_arrived([&](SmallArrival& small) {
    if (batch.full() || aborted_) return;
    batch.add({{&small.in_slot, 1}, small_staging_.bytes(), small.into});
    small.ticket = UINT64_MAX;
  });
}

std::size_t Inbound::advance_small(std::uint64_t ticket) {
  std::size_t steps = 0;
  while (small_.waiting_to_unpack() > 0) {
    SmallArrival& small = small_.oldest_arrived();
    if (small.ticket != UINT64_MAX && !aborted_) break;  // The batch was full.
    if (small.ticket == UINT64_MAX) small.ticket = ticket;
    small_.unpack();
  }
  while (small_.waiting_to_release() > 0) {
    const SmallArrival& small = small_.oldest_unpacking();
    const GpuAnswer answer = small.ticket == 0 ? GpuAnswer::kDone : context_.gpu.test(small.ticket);
    if (answer == GpuAnswer::kPending) break;
    if (answer == GpuAnswer::kFailed) failure_ = context_.gpu.failure();
    const bool good = answer == GpuAnswer::kDone && small.ticket != 0;
    const std::uint64_t id = small.transfer;
    small_staging_.give_back();
    small_.release();
    ++steps;
    released({id, good, 0});
  }
  return steps;
}

Status Inbound::on_too_long(const wire::TooLong& too_long) {
  std::uint64_t id = 0;
  Transfer* receive = receive_of(too_long.sequence, id);
  if (receive == nullptr || receive->chunk_bytes != 0 ||
      too_long.message_bytes <= receive->length) {
    return protocol_error(fmt::format("a TooLong of {} bytes for sequence {} is not in order",
                                      too_long.message_bytes, too_long.sequence));
  }
  finish(id, *receive,
         {StatusCode::kTooLong, fmt::format("a message of {} bytes met a receive of {}",
                                            too_long.message_bytes, receive->length)});
  return {};
}

Status Inbound::on_manifest(const wire::Manifest& manifest) {
  std::uint64_t id = 0;
  Transfer* receive = receive_of(manifest.sequence, id);
  if (receive == nullptr || manifest.message_bytes > receive->length ||
      manifest.chunk_bytes > context_.chunk_bytes) {
    return protocol_error(
        fmt::format("a Manifest of {} bytes in chunks of {} for sequence {}, which no receive "
                    "awaits",
                    manifest.message_bytes, manifest.chunk_bytes, manifest.sequence));
  }
  return announce(manifest, id, *receive);
}

Status Inbound::on_manifest(const wire::Manifest& manifest, std::uint64_t id) {
  Transfer& receive = *context_.transfers.find(id);
  if (manifest.message_bytes != receive.length || manifest.chunk_bytes > context_.chunk_bytes) {
    return protocol_error(fmt::format(
        "a Manifest of {} bytes in chunks of {} for slot {}, whose transfer has {}",
        manifest.message_bytes, manifest.chunk_bytes, manifest.sequence, receive.length));
  }
  for (std::uint32_t i = 0; i < manifest.count; ++i) {
    if (manifest.chunks[i].index != receive.announced + i) {
      return protocol_error(fmt::format("chunk {} of slot {} announced where {} is due",
                                        manifest.chunks[i].index, manifest.sequence,
                                        receive.announced + i));
    }
  }
  return announce(manifest, id, receive);
}

Status Inbound::announce(const wire::Manifest& manifest, std::uint64_t id, Transfer& receive) {
  if (receive.chunk_bytes == 0) {
    receive.message_bytes = manifest.message_bytes;
    receive.chunk_bytes = manifest.chunk_bytes;
    receive.chunks = wire::chunk_count(manifest.message_bytes, manifest.chunk_bytes);
    receive.check.wanted = checks_;
  }
  if (receive.message_bytes != manifest.message_bytes ||
      receive.chunk_bytes != manifest.chunk_bytes ||
      receive.announced + manifest.count > receive.chunks) {
    return protocol_error(fmt::format("a Manifest that contradicts an earlier one of sequence {}",
                                      manifest.sequence));
  }
  for (std::uint32_t i = 0; i < manifest.count; ++i) {
    const std::uint64_t offset = manifest.chunks[i].index * manifest.chunk_bytes;
    const std::uint64_t bytes = std::min(manifest.chunk_bytes, manifest.message_bytes - offset);
    ChunkPlace into = receive.data != nullptr
                          ? ChunkPlace{receive.data + offset, receive.memory, nullptr, {}, bytes}
                          : take_chunk(*receive.layout, bytes);
    into.behind = manifest.message_bytes - offset - bytes;
    into.summed_by = receive.summed_by();
    Status status = announce(manifest.chunks[i], id, into);
    if (!status.ok()) return status;
    ++receive.announced;
  }
  return {};
}

Status Inbound::on_unwanted(const wire::Manifest& manifest) {
  if (manifest.chunk_bytes > context_.chunk_bytes) {
    return protocol_error(fmt::format("a Manifest with chunks of {}", manifest.chunk_bytes));
  }
  for (std::uint32_t i = 0; i < manifest.count; ++i) {
    const std::uint64_t offset = manifest.chunks[i].index * manifest.chunk_bytes;
    ChunkPlace nowhere;
    nowhere.bytes = std::min(manifest.chunk_bytes, manifest.message_bytes - offset);
    Status status = announce(manifest.chunks[i], 0, nowhere);
    if (!status.ok()) return status;
  }
  return {};
}

Status Inbound::announce(const wire::Manifest::Chunk& chunk, std::uint64_t id,
                         const ChunkPlace& into) {
  if (chunk.channel >= channels_.size()) {
    return protocol_error(
        fmt::format("a Manifest names channel {} of {}", chunk.channel, channels_.size()));
  }
  if (wanted_anew_ > 0) return protocol_error("a Manifest for channels that it has given up");
  if (lost_) return {};  // Counted by the caller; it is begun anew.
  channels_[chunk.channel]->announce(id, into);
  return {};
}

bool Inbound::room_for_frame() const {
  return !small_.full() && std::all_of(channels_.begin(), channels_.end(), [](const auto& channel) {
    return channel->room_for_announced() >= wire::kMostChunksPerManifest;
  });
}

Status Inbound::on_channels_wanted(const wire::ChannelsWanted& wanted, std::string_view reach,
                                   Nanoseconds now) {
  if (wanted_anew_ > 0 || !offered_ || wanted.count > context_.channels) {
    return protocol_error(fmt::format("it wants {} channels, {} is the most, and one set at a time",
                                      wanted.count, context_.channels));
  }
  if (++sets_ == 1) return listen(wanted.count, reach, now);
  abort_channels();
  lost_ = false;
  lost_for_ = {};
  wanted_anew_ = wanted.count;
  return {};
}

Status Inbound::listen(std::uint32_t count, std::string_view reach, Nanoseconds now) {
  for (std::uint32_t i = 0; i < count; ++i) {
    auto listener = context_.net.listen(context_.device, reach);
    if (!listener.ok()) return listener.status().with_context(fmt::format("recv channel {}", i));
    listeners_.push_back(listener.take());
    channels_.push_back(
        std::make_unique<InboundChannel>(context_, peer_, wire::channel_name(sets_, i)));
  }
  offered_ = false;
  channels_deadline_ = now + from_ms(context_.options.connect_timeout_ms);
  return {};
}

void Inbound::add_facts(PeerFacts& facts) const {
  facts.making_recv_channels = making_channels();
  for (const auto& channel : channels_) facts.channels.push_back(channel->facts());
}

Status Inbound::accept_channels(Nanoseconds now, std::size_t& steps) {
  bool all = true;
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i] == nullptr) continue;
    std::unique_ptr<RecvChannel> channel;
    Status failure;
    switch (listeners_[i]->accept(channel, failure)) {
      case MakeAnswer::kNotYet:
        all = false;
        break;
      case MakeAnswer::kFailed:
        listeners_.clear();  // None is asked again.
        return failure.with_context(fmt::format("recv channel {}", i));
      case MakeAnswer::kMade:
        channels_[i]->connect(std::move(channel));
        listeners_[i].reset();
        ++steps;
        break;
    }
  }
  if (all) {
    listeners_.clear();
    SLUICE_LOG(kInfo, "engine", "peer {} recv channels {} accepted", peer_, channels_.size());
  } else if (now > channels_deadline_) {
    return {StatusCode::kTimedOut,
            fmt::format("channels not accepted within {} ms (connect_timeout_ms)",
                        context_.options.connect_timeout_ms)};
  }
  return {};
}

Status Inbound::reap(UnpackBatch& batch, Nanoseconds now, std::size_t& steps) {
  if (offered_ && !listeners_.empty()) {
    Status status = accept_channels(now, steps);
    if (!status.ok()) return status;
  }
  if (in_flight_ == 0) return {};
  reap_small(batch);
  for (const auto& channel : channels_) {
    const std::size_t arrived = channel->reap_posted(batch);
    if (arrived > 0 && !channel->failed()) last_arrival_ = now;
    steps += arrived;
  }
  return {};
}

Status Inbound::advance(FrameStream& link, std::uint64_t ticket, std::size_t& steps) {
  if (!small_.empty()) steps += advance_small(ticket);
  for (const auto& channel : channels_) {
    if (in_flight_ > 0) {
      channel->unpack_arrived(ticket);
      steps += channel->retire_unpacked(context_.gpu,
                                        [this](const ReleasedChunk& chunk) { released(chunk); });
    }
    steps += channel->post_next([this](std::uint64_t id) {
      ++in_flight_;
      if (id != 0) ++context_.transfers.find(id)->in_net;  // 0: it goes nowhere.
    });
  }
  if (aborted_) return {};
  if (lost_ || wanted_anew_ > 0) {
    if (Status status = advance_lost(link, steps); !status.ok()) return status;
  }
  if (!offered_) offer_channels(link, steps);
  if (!waiting_.empty()) send_credits(link, steps);
  if (!failure_.ok()) return failure_;
  if (lost_ || wanted_anew_ > 0) return {};
  for (const auto& channel : channels_) {
    if (channel->failed()) return channel->failure();
  }
  return {};
}

void Inbound::released(const ReleasedChunk& chunk) {
  --in_flight_;
  const std::uint64_t id = chunk.transfer;
  if (id == 0) return;
  Transfer& receive = *context_.transfers.find(id);
  --receive.in_net;
  if (!receive.status.ok()) {  // The peer has failed, and this receive with it.
    if (receive.in_net == 0) context_.transfers.complete(id, 0, receive.status);
    return;
  }
  if (!chunk.good) return;
  receive.check.remainder ^= chunk.share;
  ++receive.finished;
  settle(id, receive);
}

// What a transfer waits for may come in any order: its chunks, and the Sum. Nobody but the two
// engines has the memory of a message, so one that differs is the end of the peer. That of a
// one-sided transfer is also its user's and other peers': whoever looks at it ends it alone.
void Inbound::settle(std::uint64_t id, Transfer& receive) {
  DataCheck& check = receive.check;
  if (!receive.in_place() || (check.wanted && !check.told_crc32c)) return;
  const bool message = receive.direction == Direction::kRecv;
  if (check.wanted) {
    const Status compared = receive.compare();
    check.settled = compared.ok();
    check.differs = !compared.ok() && !message;
    if (!compared.ok() && message) failure_ = compared;
    if (!compared.ok()) return;
  }
  if (message) finish(id, receive, {});
}

Status Inbound::on_sum(const wire::Sum& sum) {
  std::uint64_t id = 0;
  if (receive_of(sum.sequence, id) != nullptr) return on_sum(sum, id);
  return protocol_error(
      fmt::format("a Sum for sequence {}, which no receive awaits", sum.sequence));
}

Status Inbound::on_sum(const wire::Sum& sum, std::uint64_t id) {
  Transfer& receive = *context_.transfers.find(id);
  const bool due = receive.check.wanted && receive.chunks > 0 &&
                   receive.announced == receive.chunks && !receive.check.told_crc32c;
  if (!due) return protocol_error(fmt::format("a Sum for {} is not in order", sum.sequence));
  receive.check.told_crc32c = sum.crc32c;
  settle(id, receive);
  return failure_;
}

void Inbound::offer_channels(FrameStream& link, std::size_t& steps) {
  if (!link.room_for(wire::kLargestFixedBody)) return;
  wire::ChannelsOffered offered;
  offered.count = static_cast<std::uint32_t>(listeners_.size());
  for (std::uint32_t i = 0; i < offered.count; ++i) offered.handles[i] = listeners_[i]->handle();
  link.queue(wire::FrameType::kChannelsOffered, offered);
  offered_ = true;
  ++steps;
}

void Inbound::send_credits(FrameStream& link, std::size_t& steps) {
  wire::Credit credit;
  while (!waiting_.empty() && receives_[next_sequence_ % wire::kMostCredits] == 0 &&
         link.room_for(2 + 8 * (credit.count + 1))) {
    const std::uint64_t id = waiting_.front();
    waiting_.pop();
    Transfer& receive = *context_.transfers.find(id);
    receive.sequence = next_sequence_;
    receives_[next_sequence_++ % wire::kMostCredits] = id;
    credit.capacity[credit.count++] = receive.length;
    ++steps;
    if (credit.count == wire::kMostCreditsPerFrame) {
      link.queue(wire::FrameType::kCredit, credit);
      credit.count = 0;
    }
  }
  if (credit.count > 0) link.queue(wire::FrameType::kCredit, credit);
}

void Inbound::abort() {
  if (aborted_) return;
  aborted_ = true;
  abort_channels();
}

void Inbound::abort_channels() {
  listeners_.clear();
  offered_ = true;
  for (const auto& channel : channels_) channel->abort();
}

std::uint64_t Inbound::bytes_in_net() const {
  std::uint64_t bytes = 0;
  for (const auto& channel : channels_) bytes += channel->bytes_in_net();
  return bytes;
}

bool Inbound::still() const {
  return in_flight_ == 0 && waiting_.empty() && small_.empty() && listeners_.empty() && offered_ &&
         !lost_ && wanted_anew_ == 0 && failure_.ok() &&
         std::all_of(channels_.begin(), channels_.end(),
                     [](const auto& channel) { return channel->idle() && !channel->failed(); });
}

bool Inbound::drained() const {
  return small_.empty() && std::all_of(channels_.begin(), channels_.end(),
                                       [](const auto& channel) { return channel->drained(); });
}

bool Inbound::settled() const {
  return small_.empty() && std::all_of(channels_.begin(), channels_.end(), [](const auto& channel) {
           return channel->idle() || (channel->failed() && channel->drained());
         });
}

}  // namespace sluice
