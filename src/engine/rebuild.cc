#include "src/engine/rebuild.h"

#include <algorithm>

#include "src/base/log.h"
#include "src/engine/inbound.h"
#include "src/engine/outbound.h"
#include "src/engine/peer.h"

namespace sluice {
namespace {

// How long the control connection has, after a channel has failed, to say why.
constexpr Nanoseconds kGrace = from_ms(200);

Status protocol_error(std::string message) { return {StatusCode::kProtocol, std::move(message)}; }

void to_start(Transfer& transfer) {
  transfer.announced = transfer.finished = 0;
  transfer.check = {transfer.check.wanted, false, false, 0, {}};
  if (transfer.layout != nullptr) transfer.layout->next = BlockCursor();
}

}  // namespace

// ---- A channel fails.

// What is wrong with its bytes is known here and nowhere else. Of anything else the control
// connection knows better why, and its word may still be on the way: a peer that closes, dies or is
// silent takes its channels with it. What it has sent before is received meanwhile.
void Peer::doubt(Doubt& doubt, const Status& status, Nanoseconds now) {
  if (status.ok()) return;
  if (status.code() == StatusCode::kProtocol || status.code() == StatusCode::kTooLong ||
      status.code() == StatusCode::kCorrupted) {
    fail(status);
    return;
  }
  if (!doubt.why.ok()) return;
  const Nanoseconds timeout = from_ms(context_.options.peer_timeout_ms);
  const bool stalled = status.code() == StatusCode::kTimedOut;
  // Pings come several times as often: the peer is there, and the channel does not move.
  const bool heard = now - last_heard() < timeout / 2;
  if (stalled && heard) {
    fail(status);
    return;
  }
  doubt.why = status;
  doubt.deadline = stalled ? last_heard() + timeout + kGrace : now + kGrace;
  if (&doubt == &send_doubt_) outbound_.lose();
}

void Outbound::lose() {
  renewed_for_ = {};
  if (state_ == State::kLost) return;
  stop();
  state_ = State::kLost;
  for (OutboundChannel& channel : channels_) channel.abort();
}

// ---- The peer is still there, so it was the channels.

Status Peer::resolve_doubts(Nanoseconds now) {
  if (!send_doubt_.why.ok() && now > send_doubt_.deadline) {
    const Doubt doubt = std::exchange(send_doubt_, {});
    if (!may_be_rebuilt(doubt.why.code())) return doubt.why;
    return rebuild_sending(doubt.why, now);
  }
  if (!recv_doubt_.why.ok() && now > recv_doubt_.deadline) {
    const bool allowed = may_be_rebuilt(recv_doubt_.why.code()) && recv_rebuilds_.allowed(now);
    if (!allowed || recv_doubt_.told) return recv_doubt_.why;
    inbound_.lose(recv_doubt_.why);
    recv_doubt_.told = true;
    recv_doubt_.deadline = now + from_ms(context_.options.connect_timeout_ms);
  }
  return {};
}

// The sender alone begins: no chunk of the old channels is announced behind its ChannelsWanted.
Status Peer::rebuild_sending(const Status& cause, Nanoseconds now) {
  if (!send_rebuilds_.allowed(now)) return cause;
  send_rebuilds_.begin(now);
  tell_rebuild("send", send_rebuilds_, cause.message());
  outbound_.renew(cause);
  return {};
}

void Peer::tell_rebuild(const char* way, const Rebuilds& rebuilds, std::string_view cause) const {
  SLUICE_LOG(kWarning, "engine", "peer {} {}: {} channels are rebuilt, {} of at most {}: {}", id_,
             label_, way, rebuilds.count(), rebuilds.most(), cause);
}

void Outbound::renew(const Status& cause) {
  lose();
  renewed_for_ = cause;
}

void Outbound::want_anew(FrameStream& link, const PeerLimits& limits, std::size_t& steps) {
  if (!link.room_for(wire::kLargestFixedBody)) return;
  channels_.clear();
  next_channel_ = 0;
  awaits_missing_ = true;
  want_channels(link, limits);
  ++steps;
}

// The receiver can only ask for it.
void Inbound::lose(const Status& cause) {
  lost_ = true;
  lost_for_ = cause;
  abort_channels();
}

Status Peer::on_channels_lost(const wire::ChannelsLost& lost) {
  if (lost.set > outbound_.sets()) return protocol_error("it lost channels that it never had");
  if (lost.set < outbound_.sets()) return {};  // They are being rebuilt, or have been.
  const Doubt seen = std::exchange(send_doubt_, {});
  if (outbound_.renewing()) return {};
  const Status told(StatusCode::kPeerLost,
                    fmt::format("the other end: {}", printable(lost.reason)));
  return rebuild_sending(seen.why.ok() ? told : seen.why, context_.clock.now());
}

// ---- The receiver has the sender's word, lets its Net finish, and says what is missing.

Status Peer::on_channels_wanted(const wire::ChannelsWanted& wanted) {
  const Nanoseconds now = context_.clock.now();
  if (inbound_.sets() > 0) {
    const Doubt seen = std::exchange(recv_doubt_, {});
    const Status cause = seen.why.ok()
                             ? Status(StatusCode::kPeerLost,
                                      fmt::format("the other end: {}", printable(wanted.reason)))
                             : seen.why;
    if (!recv_rebuilds_.allowed(now)) return cause;
    recv_rebuilds_.begin(now);
    tell_rebuild("recv", recv_rebuilds_, cause.message());
  }
  return inbound_.on_channels_wanted(wanted, link_->stream().local_host(), now);
}

Status Inbound::advance_lost(FrameStream& link, std::size_t& steps) {
  if (lost_ && !lost_for_.ok() && link.room_for(wire::kLargestFixedBody)) {
    link.queue(wire::FrameType::kChannelsLost, wire::ChannelsLost{sets_, lost_for_.message()});
    lost_for_ = {};
    ++steps;
  }
  if (wanted_anew_ == 0 || !drained() || !link.room_for(wire::kLargestFixedBody)) return {};
  wire::Missing missing;
  begin_anew(missing);
  link.queue(wire::FrameType::kMissing, missing);
  channels_.clear();
  ++steps;
  return listen(std::exchange(wanted_anew_, 0), link.stream().local_host(), context_.clock.now());
}

// All manifests of the old channels have come, and none of their chunks is in the Net.
void Inbound::begin_anew(wire::Missing& missing) {
  context_.transfers.for_each([&](std::uint64_t, Transfer& transfer) {
    const bool announced = transfer.peer == PeerId(peer_) && !sends(transfer.direction) &&
                           !transfer.complete && transfer.announced > 0;
    if (!announced || transfer.moved()) return;
    to_start(transfer);
    if (transfer.direction == Direction::kRecv) {
      missing.sequences[missing.count++] = transfer.sequence;
    } else {
      auto& slots = transfer.direction == Direction::kRead ? missing.reads : missing.writes;
      slots |= 1ull << transfer.sequence;
    }
  });
  std::sort(missing.sequences.begin(), missing.sequences.begin() + missing.count);
}

// ---- The sender begins that anew, and what it had in flight besides has come.

// Slots of transfers that their initiator has aborted meanwhile stay aborted.
Status Peer::on_missing(const wire::Missing& missing) {
  if (Status status = outbound_.on_missing(missing); !status.ok()) return status;
  for (std::uint16_t slot = 0; slot < wire::kMostSlots; ++slot) {
    if ((missing.writes >> slot & 1) != 0) {
      if (const std::uint64_t id = requester_.writing(slot); id != 0) outbound_.send_again(id);
    }
    if ((missing.reads >> slot & 1) != 0) {
      if (const std::uint64_t id = server_.reading(slot); id != 0) outbound_.send_again(id);
    }
  }
  return {};
}

Status Outbound::on_missing(const wire::Missing& missing) {
  if (state_ == State::kLost || state_ == State::kAborted) return {};
  if (!awaits_missing_) return protocol_error("a Missing that nobody asked for");
  awaits_missing_ = false;
  const std::span wanted = std::span(missing.sequences).first(missing.count);
  std::uint32_t found = 0;
  context_.transfers.for_each([&](std::uint64_t id, Transfer& message) {
    const bool posted = message.peer == PeerId(peer_) && message.direction == Direction::kSend &&
                        !message.complete && message.announced > 0;
    if (!posted) return;
    if (std::binary_search(wanted.begin(), wanted.end(), message.sequence)) {
      send_again(id);
      ++found;
      return;
    }
    message.finished = message.announced;
    if (message.moved()) context_.transfers.complete(id, message.length, {});
  });
  if (found == missing.count) return {};
  return {StatusCode::kPeerLost,
          fmt::format("{} messages were lost with channels that failed, and their sends are "
                      "complete: {}",
                      missing.count - found, renewed_for_.message())};
}

void Outbound::send_again(std::uint64_t id) {
  recall(id);
  to_start(*context_.transfers.find(id));
  activate(id);
}

}  // namespace sluice
