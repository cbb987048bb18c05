#include "src/engine/peer.h"

#include <algorithm>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

// Pings in one peer_timeout: so many may be lost to a busy scheduler before a peer counts as lost.
constexpr Nanoseconds kPingsPerTimeout = 4;

// How long a peer that is closed keeps its send channels for the other end to receive from. Less
// than an engine takes to close.
constexpr Nanoseconds kLinger = from_ms(800);

template <typename Body>
Status decode(const FrameStream::Frame& frame, const char* name, Body& body) {
  ByteReader reader(frame.body);
  if (body.decode(reader)) return {};
  return {StatusCode::kProtocol,
          fmt::format("it sent a malformed {} of {} bytes", name, frame.body.size())};
}

}  // namespace

Peer::Peer(const Context& context, std::uint64_t id, std::string remote)
    : context_(context),
      id_(id),
      label_(std::move(remote)),
      outbound_(context, id),
      inbound_(context, id),
      requester_(context, outbound_),
      server_(context, id, outbound_),
      send_rebuilds_(context.options.channel_rebuilds),
      recv_rebuilds_(context.options.channel_rebuilds),
      moved_at_(context.clock.now()) {}

void Peer::note(EventKind kind, StatusCode code) {
  context_.recorder.add(
      {0, 0, 0, 0, static_cast<std::uint32_t>(id_), 0, kind, static_cast<std::uint8_t>(code)});
}

void Peer::join(std::unique_ptr<FrameStream> link, const PeerLimits& limits) {
  link_ = std::move(link);
  limits_ = limits;
  link_->stream().tag = id_;
  if (limits.checksum) inbound_.check_data();
  label_ = fmt::format("{} ({})", limits.name, link_->stream().remote());
  state_ = State::kReady;
  context_.recorder.met({id_, limits.generation, label_});
  link_->record(context_.recorder, id_);
  note(EventKind::kPeerReady);
  SLUICE_LOG(kInfo, "engine", "peer {} connected: {}", id_, label_);
  handle_frames();
}

void Peer::enqueue(std::uint64_t transfer, Direction direction) {
  if (direction == Direction::kSend) {
    outbound_.enqueue(transfer);
  } else if (direction == Direction::kRecv) {
    inbound_.enqueue(transfer);
  } else {
    requester_.enqueue(transfer);
  }
}

Status Peer::cancel(std::uint64_t transfer, Direction direction) {
  const Status why(StatusCode::kCancelled, "cancel() was called");
  if (direction == Direction::kWrite || direction == Direction::kRead) {
    requester_.cancel(transfer, why);
    return {};
  }
  const bool waits = direction == Direction::kSend ? outbound_.forget_waiting(transfer)
                                                   : inbound_.forget_waiting(transfer);
  if (!waits) return {StatusCode::kUnavailable, "a message that has begun cannot be cancelled"};
  context_.transfers.complete(transfer, 0, why);
  return {};
}

std::size_t Peer::on_ready() {
  if (link_ == nullptr) return 0;
  note_flush(link_->flush());
  if (!alive() || paused_) return 1;
  const IoAnswer answer = link_->fill();
  if (answer == IoAnswer::kNotYet) return 0;
  const bool heard = handle_frames();
  if (answer != IoAnswer::kSome) end_of_stream(answer);
  if (heard || answer != IoAnswer::kSome) return 1;
  ping_if_due(link_->last_received());  // Of two pings that cross, one is enough to wake us.
  return state_ == State::kReady && link_->flushed() ? 0 : 1;
}

bool Peer::handle_frames() {
  FrameStream::Frame frame;
  bool heard = false;
  while (state_ == State::kReady) {
    // One that has been still has room.
    const bool pause = (awake || heard || paused_) && !inbound_.room_for_frame();
    if (pause != paused_) {
      paused_ = pause;
      link_->stream().set_reading(!pause);
    }
    if (pause) return true;
    const FrameStream::Next next = link_->next(frame);
    if (next == FrameStream::Next::kNone) return heard;
    heard = heard || next != FrameStream::Next::kFrame || frame.type != wire::FrameType::kPing;
    const Status status =
        next == FrameStream::Next::kFrame ? on_frame(frame)
        : next == FrameStream::Next::kBad
            ? Status(StatusCode::kProtocol, "it sent a malformed frame")
            : Status(StatusCode::kCorrupted, "a frame is not what its checksum says");
    if (!status.ok()) fail(status);
  }
  return true;
}

Status Peer::on_frame(const FrameStream::Frame& frame) {
  switch (frame.type) {
    case wire::FrameType::kSmall: {
      wire::Small small;
      Status status = decode(frame, "Small", small);
      return status.ok() ? inbound_.on_small(small) : status;
    }
    case wire::FrameType::kCredit: {
      wire::Credit credit;
      Status status = decode(frame, "Credit", credit);
      return status.ok() ? outbound_.on_credit(credit) : status;
    }
    case wire::FrameType::kManifest: {
      wire::Manifest manifest;
      Status status = decode(frame, "Manifest", manifest);
      return status.ok() ? on_manifest(manifest) : status;
    }
    case wire::FrameType::kSum: {
      wire::Sum sum;
      Status status = decode(frame, "Sum", sum);
      return status.ok() ? on_sum(sum) : status;
    }
    case wire::FrameType::kTooLong: {
      wire::TooLong too_long;
      Status status = decode(frame, "TooLong", too_long);
      return status.ok() ? inbound_.on_too_long(too_long) : status;
    }
    case wire::FrameType::kChannelsWanted: {
      wire::ChannelsWanted wanted;
      Status status = decode(frame, "ChannelsWanted", wanted);
      return status.ok() ? on_channels_wanted(wanted) : status;
    }
    case wire::FrameType::kChannelsOffered: {
      wire::ChannelsOffered offered;
      Status status = decode(frame, "ChannelsOffered", offered);
      return status.ok() ? outbound_.on_channels_offered(offered) : status;
    }
    case wire::FrameType::kChannelsLost: {
      wire::ChannelsLost lost;
      Status status = decode(frame, "ChannelsLost", lost);
      return status.ok() ? on_channels_lost(lost) : status;
    }
    case wire::FrameType::kMissing: {
      wire::Missing missing;
      Status status = decode(frame, "Missing", missing);
      return status.ok() ? on_missing(missing) : status;
    }
    case wire::FrameType::kPing:
      return {};  // That it came is all it says.
    case wire::FrameType::kGoodbye:
      return on_goodbye(frame);
    default:
      return on_one_sided_frame(frame);
  }
}

Status Peer::on_one_sided_frame(const FrameStream::Frame& frame) {
  switch (frame.type) {
    case wire::FrameType::kRequest: {
      wire::Request request;
      Status status = decode(frame, "Request", request);
      return status.ok() ? server_.on_request(request) : status;
    }
    case wire::FrameType::kPart: {
      wire::SlotBytes part;
      Status status = decode(frame, "Part", part);
      return status.ok() ? server_.on_part(part) : status;
    }
    case wire::FrameType::kGot: {
      wire::Slot got;
      Status status = decode(frame, "Got", got);
      return status.ok() ? server_.on_got(got) : status;
    }
    case wire::FrameType::kGranted: {
      wire::Granted granted;
      Status status = decode(frame, "Granted", granted);
      return status.ok() ? requester_.on_granted(granted) : status;
    }
    case wire::FrameType::kDenied: {
      wire::Denied denied;
      Status status = decode(frame, "Denied", denied);
      return status.ok() ? requester_.on_denied(denied) : status;
    }
    case wire::FrameType::kLanded: {
      wire::Slot landed;
      Status status = decode(frame, "Landed", landed);
      return status.ok() ? requester_.on_landed(landed) : status;
    }
    case wire::FrameType::kAnswer: {
      wire::SlotBytes answer;
      Status status = decode(frame, "Answer", answer);
      return status.ok() ? requester_.on_answer(answer) : status;
    }
    case wire::FrameType::kAbort: {
      wire::Denied abort;
      Status status = decode(frame, "Abort", abort);
      return status.ok() ? server_.on_abort(abort) : status;
    }
    case wire::FrameType::kAborted: {
      wire::Slot aborted;
      Status status = decode(frame, "Aborted", aborted);
      return status.ok() ? requester_.on_aborted(aborted) : status;
    }
    case wire::FrameType::kReleased: {
      wire::Slot released;
      Status status = decode(frame, "Released", released);
      return status.ok() ? requester_.on_released(released) : status;
    }
    default:
      break;  // Those of the handshake, and what no version has.
  }
  return {StatusCode::kProtocol, fmt::format("it sent frame type {}, which has no place here",
                                             static_cast<int>(frame.type))};
}

Status Peer::on_manifest(const wire::Manifest& manifest) {
  if (manifest.of == wire::Manifest::Of::kMessage) return inbound_.on_manifest(manifest);
  const Requester::Reading into = receiving(manifest.of, manifest.sequence);
  if (into.unwanted) return inbound_.on_unwanted(manifest);
  if (into.transfer != 0) return inbound_.on_manifest(manifest, into.transfer);
  return {StatusCode::kProtocol,
          fmt::format("a Manifest for slot {}, which awaits none", manifest.sequence)};
}

Status Peer::on_sum(const wire::Sum& sum) {
  if (sum.of == wire::Manifest::Of::kMessage) return inbound_.on_sum(sum);
  const Requester::Reading into = receiving(sum.of, sum.sequence);
  if (into.unwanted) return {};
  if (into.transfer != 0) return inbound_.on_sum(sum, into.transfer);
  return {StatusCode::kProtocol, fmt::format("a Sum for slot {}, which awaits none", sum.sequence)};
}

// The one-sided transfer that awaits chunks in this slot.
Requester::Reading Peer::receiving(wire::Manifest::Of of, std::uint64_t slot) {
  if (of == wire::Manifest::Of::kWrite) return {server_.writing(slot), false};
  return requester_.reading(slot);
}

// A peer that closes on purpose has handed its completed sends to the Net: what it announced is on
// the way and is waited for. One that gives up has nothing more to give.
Status Peer::on_goodbye(const FrameStream::Frame& frame) {
  wire::Farewell farewell;
  Status status = decode(frame, "Goodbye", farewell);
  if (!status.ok()) return status;
  const std::string reason = printable(farewell.reason);
  if (farewell.code != StatusCode::kClosed) {
    // What this end had seen itself may be the cause of what the other end tells.
    const Status& first = send_doubt_.why.ok() ? recv_doubt_.why : send_doubt_.why;
    const std::string seen =
        first.ok() ? "" : fmt::format("; seen here before: {}", first.message());
    const bool corrupted = farewell.code == StatusCode::kCorrupted;
    return {corrupted ? farewell.code : StatusCode::kPeerLost,
            fmt::format("the other end gave up: {}: {}{}", to_string(farewell.code), reason, seen)};
  }
  goodbye_ = {StatusCode::kClosed, fmt::format("the other end closed: {}", reason)};
  state_ = State::kLeaving;
  note(EventKind::kPeerLeaving);
  leaving_deadline_ = context_.clock.now() + from_ms(context_.options.peer_timeout_ms);
  link_->stream().set_reading(false);
  return {};
}

void Peer::end_of_stream(IoAnswer answer) {
  if (state_ != State::kReady) return;
  if (paused_) {  // Frames are left to handle; then this again.
    ended_ = answer;
    return;
  }
  if (answer == IoAnswer::kFailed) {
    const Status cause = link_->stream().failure();
    fail({StatusCode::kPeerLost, std::string(cause.message())});
  } else {
    fail({StatusCode::kPeerLost,
          "its connection closed without a Goodbye: its process has died or was killed"});
  }
}

// A connection that takes nothing any more may still hold what the other end said before it went,
// its Goodbye above all.
void Peer::note_flush(IoAnswer answer) {
  if (answer != IoAnswer::kFailed || state_ != State::kReady) return;
  while (state_ == State::kReady && !paused_ && link_->fill() == IoAnswer::kSome) {
    handle_frames();
  }
  end_of_stream(IoAnswer::kFailed);
}

std::size_t Peer::reap(UnpackBatch& batch, Nanoseconds now) {
  std::size_t steps = 0;
  if (link_ == nullptr) return 0;
  doubt(recv_doubt_, inbound_.reap(batch, now, steps), now);
  return steps;
}

std::size_t Peer::advance(std::uint64_t ticket, Nanoseconds now) {
  std::size_t steps = 0;
  if (link_ == nullptr) return 0;  // Joining, or failed while it was.
  if (state_ == State::kFailing) {
    steps += outbound_.drain();
    (void)inbound_.advance(*link_, ticket, steps);  // Already failed: only lets go.
    if (lingering_) linger(now);
    return steps;
  }
  doubt(recv_doubt_, inbound_.advance(*link_, ticket, steps), now);
  if (state_ == State::kFailing) return steps;
  if (state_ == State::kLeaving) {
    steps += outbound_.drain();
    if (inbound_.settled() || now > leaving_deadline_) fail(goodbye_);
    return steps;
  }
  if (Status status = advance_one_sided(steps); !status.ok()) {
    fail(status);
    return steps;
  }
  doubt(send_doubt_, outbound_.progress(*link_, limits_, now, steps), now);
  if (Status status = resolve_doubts(now); !status.ok()) fail(status);
  if (state_ == State::kFailing) return steps;
  if (!link_->flushed()) note_flush(link_->flush());
  if (paused_ && state_ == State::kReady) {
    handle_frames();
    if (!paused_ && ended_ != IoAnswer::kSome) end_of_stream(ended_);
  }
  return steps;
}

Status Peer::advance_one_sided(std::size_t& steps) {
  requester_.advance(*link_, limits_, steps);
  return server_.advance(*link_, limits_, steps);
}

void Peer::fail(const Status& status) {
  if (state_ == State::kFailing) return;
  const bool was_joining = state_ == State::kJoining;
  // One that has itself said Goodbye has everything that it wants.
  lingering_ = state_ == State::kReady && status.code() == StatusCode::kClosed &&
               outbound_.has_channels() &&
               !context_.net.devices()[context_.device].sent_survives_close;
  state_ = State::kFailing;
  note(EventKind::kPeerFailed, status.code());
  failure_ = status.with_context(fmt::format("peer {} {}", id_, label_));
  if (!was_joining) {  // The bootstrap has logged the others.
    if (status.code() == StatusCode::kClosed) {
      SLUICE_LOG(kInfo, "engine", "{}", failure_.message());
    } else {
      SLUICE_LOG(kWarning, "engine", "{}", failure_.message());
    }
    link_->stream().set_reading(false);
    link_->queue(wire::FrameType::kGoodbye, wire::Farewell{status.code(), status.message()});
    link_->flush();
  }
  if (lingering_) {
    linger_deadline_ = context_.clock.now() + kLinger;
    outbound_.stop();
  } else {
    outbound_.abort();
  }
  inbound_.abort();
  fail_transfers();
}

// The other end closes its side of the control connection when it has received what was announced.
void Peer::linger(Nanoseconds now) {
  const IoAnswer flushed = link_->flush();
  bool over = now > linger_deadline_ || flushed == IoAnswer::kFailed;
  if (!over && flushed == IoAnswer::kSome) {
    link_->stream().end_writes();  // Should it be closing too, neither waits for the other.
    over = link_->discard() != IoAnswer::kNotYet;
  }
  if (over) stop_lingering();
}

void Peer::stop_lingering() {
  if (lingering_) outbound_.abort();
  lingering_ = false;
}

void Peer::fail_transfers() {
  context_.transfers.for_each([this](std::uint64_t id, Transfer& transfer) {
    if (transfer.complete || transfer.peer != PeerId(id_)) return;
    transfer.status = failure_;
    if (transfer.in_net == 0) context_.transfers.complete(id, 0, failure_);
  });
}

bool Peer::still() const {
  if (state_ == State::kJoining) return true;  // The bootstrap has it.
  return state_ == State::kReady && !paused_ && !doubted() && link_->flushed() &&
         requester_.still() && server_.still() && outbound_.still() && inbound_.still();
}

bool Peer::gone() const {
  return state_ == State::kFailing && !lingering_ && outbound_.drained() && inbound_.drained();
}

Nanoseconds Peer::last_heard() const {
  return std::max(link_->last_received(), inbound_.last_arrival());
}

PeerFacts Peer::facts(Nanoseconds now) const {
  PeerFacts facts;
  facts.id = id_;
  facts.label = label_;
  facts.joining = joining();
  facts.silent_for = link_ == nullptr ? 0 : now - last_heard();
  facts.still_for = now - moved_at_;
  if (link_ != nullptr) facts.control = link_->stream().diagnosis();
  facts.send_rebuilds = send_rebuilds_.ever();
  facts.recv_rebuilds = recv_rebuilds_.ever();
  outbound_.add_facts(facts);
  inbound_.add_facts(facts);
  return facts;
}

bool Peer::stalls(Nanoseconds now, Nanoseconds limit) {
  const bool owes = chunks_in_flight() || making_channels();
  if (!owes || failed() || stall_told_ || now - moved_at_ < limit) return false;
  stall_told_ = true;
  return true;
}

bool Peer::silent(Nanoseconds now) const {
  return alive() && now - last_heard() > from_ms(context_.options.peer_timeout_ms);
}

Nanoseconds Peer::on_time(Nanoseconds now) {
  if (!alive()) return now + from_ms(3'600'000);
  const Nanoseconds timeout = from_ms(context_.options.peer_timeout_ms);
  const Nanoseconds heard = last_heard();
  if (silent(now)) {
    fail({StatusCode::kPeerLost,
          fmt::format("silent for {} ms (peer_timeout_ms): its process is stopped, its host is "
                      "down or the network is cut",
                      (now - heard) / 1'000'000)});
    return now;
  }
  ping_if_due(now);
  // A connection that takes nothing cannot be pinged more often by trying.
  const Nanoseconds next_ping = std::max(link_->last_sent() + ping_every(), now + ping_every() / 2);
  return std::min(next_ping, heard + timeout + 1);
}

Nanoseconds Peer::ping_every() const {
  const std::int64_t shorter =
      std::min<std::int64_t>(context_.options.peer_timeout_ms, limits_.peer_timeout_ms);
  return from_ms(shorter) / kPingsPerTimeout;
}

// What is nearly due goes along with whatever has woken us.
void Peer::ping_if_due(Nanoseconds now) {
  if (state_ != State::kReady || now - link_->last_sent() < ping_every() * 3 / 4) return;
  if (link_->room_for(0)) link_->queue_empty(wire::FrameType::kPing);
  note_flush(link_->flush());
}

}  // namespace sluice
