#include "src/engine/inbound.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

Status protocol_error(std::string message) { return {StatusCode::kProtocol, std::move(message)}; }

}  // namespace

Inbound::Inbound(const Context& context, std::uint64_t peer)
    : context_(context), peer_(peer), waiting_(context.transfers), receives_(wire::kMostCredits) {}

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
  if (!small.bytes.empty()) std::memcpy(receive->data, small.bytes.data(), small.bytes.size());
  receive->message_bytes = small.bytes.size();
  finish(id, *receive, {});
  return {};
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
  if (receive->chunk_bytes == 0) {
    receive->message_bytes = manifest.message_bytes;
    receive->chunk_bytes = manifest.chunk_bytes;
    receive->chunks = wire::chunk_count(manifest.message_bytes, manifest.chunk_bytes);
  }
  if (receive->message_bytes != manifest.message_bytes ||
      receive->chunk_bytes != manifest.chunk_bytes ||
      receive->announced + manifest.count > receive->chunks) {
    return protocol_error(fmt::format("a Manifest that contradicts an earlier one of sequence {}",
                                      manifest.sequence));
  }
  for (std::uint32_t i = 0; i < manifest.count; ++i) {
    const wire::Manifest::Chunk& chunk = manifest.chunks[i];
    if (chunk.channel >= channels_.size()) {
      return protocol_error(
          fmt::format("a Manifest names channel {} of {}", chunk.channel, channels_.size()));
    }
    const std::uint64_t offset = chunk.index * manifest.chunk_bytes;
    channels_[chunk.channel]->announce(
        id, receive->data + offset, std::min(manifest.chunk_bytes, manifest.message_bytes - offset),
        receive->memory);
    ++receive->announced;
  }
  return {};
}

bool Inbound::room_for_manifest() const {
  return std::all_of(channels_.begin(), channels_.end(), [](const auto& channel) {
    return channel->room_for_announced() >= wire::kMostChunksPerManifest;
  });
}

Status Inbound::on_channels_wanted(const wire::ChannelsWanted& wanted, std::string_view reach,
                                   Nanoseconds now) {
  if (asked_ || wanted.count > context_.channels) {
    return protocol_error(
        fmt::format("it wants {} channels, {} is the most, once", wanted.count, context_.channels));
  }
  asked_ = true;
  for (std::uint32_t i = 0; i < wanted.count; ++i) {
    auto listener = context_.net.listen(context_.device, reach);
    if (!listener.ok()) return listener.status().with_context(fmt::format("recv channel {}", i));
    listeners_.push_back(listener.take());
    channels_.push_back(std::make_unique<InboundChannel>(context_.window, peer_, i));
  }
  offered_ = false;
  channels_deadline_ = now + from_ms(context_.options.connect_timeout_ms);
  return {};
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
  for (const auto& channel : channels_) {
    const std::size_t arrived = channel->reap_posted(batch);
    if (arrived > 0) last_arrival_ = now;
    steps += arrived;
  }
  return {};
}

Status Inbound::advance(FrameStream& link, std::uint64_t ticket, std::size_t& steps) {
  for (const auto& channel : channels_) {
    if (in_flight_ > 0) {
      channel->unpack_arrived(ticket);
      steps += channel->retire_unpacked(
          context_.gpu, [this](std::uint64_t id, bool good) { released(id, good); });
    }
    steps += channel->post_next([this](std::uint64_t id) {
      ++in_flight_;
      ++context_.transfers.find(id)->in_net;
    });
  }
  if (aborted_) return {};
  send_credits(link, steps);
  for (const auto& channel : channels_) {
    if (channel->failed()) return channel->failure();
  }
  return {};
}

void Inbound::released(std::uint64_t id, bool good) {
  --in_flight_;
  Transfer& receive = *context_.transfers.find(id);
  --receive.in_net;
  if (!receive.status.ok()) {  // The peer has failed, and this receive with it.
    if (receive.in_net == 0) context_.transfers.complete(id, 0, receive.status);
    return;
  }
  if (good && ++receive.finished == receive.chunks) finish(id, receive, {});
}

void Inbound::send_credits(FrameStream& link, std::size_t& steps) {
  if (!offered_ && link.room_for(wire::kLargestFixedBody)) {
    wire::ChannelsOffered offered;
    offered.count = static_cast<std::uint32_t>(listeners_.size());
    for (std::uint32_t i = 0; i < offered.count; ++i) offered.handles[i] = listeners_[i]->handle();
    link.queue(wire::FrameType::kChannelsOffered, offered);
    offered_ = true;
    ++steps;
  }
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
  listeners_.clear();
  for (const auto& channel : channels_) channel->abort();
}

bool Inbound::drained() const {
  return std::all_of(channels_.begin(), channels_.end(),
                     [](const auto& channel) { return channel->drained(); });
}

bool Inbound::failed() const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [](const auto& channel) { return channel->failed(); });
}

bool Inbound::idle() const {
  return std::all_of(channels_.begin(), channels_.end(),
                     [](const auto& channel) { return channel->idle(); });
}

}  // namespace sluice
