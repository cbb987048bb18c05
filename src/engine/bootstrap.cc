#include "src/engine/bootstrap.h"

#include <algorithm>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

constexpr const char* kComponent = "bootstrap";

// What a handshake takes at most between engines that mean it, on a slow path.
constexpr Nanoseconds kFairTime = from_ms(1000);

Status protocol_error(std::string_view what) { return {StatusCode::kProtocol, std::string(what)}; }

template <typename Body>
bool decode(const FrameStream::Frame& frame, Body& body) {
  ByteReader reader(frame.body);
  return body.decode(reader);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result(text.substr(0, wire::kLongestName));
  std::replace_if(
      result.begin(), result.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return result;
}

Bootstrap::Bootstrap(const Options& options, const Secret& secret, const wire::Limits& own,
                     const Clock& clock)
    : options_(options),
      secret_(secret),
      own_(own),
      clock_(clock),
      joining_(options.max_handshakes + options.max_peers) {}

void Bootstrap::add_inbound(std::unique_ptr<ByteStream> stream) {
  Joining joining;
  joining.end = End::kAccepting;
  joining.secret = secret_;
  joining.deadline = clock_.now() + from_ms(options_.handshake_timeout_ms);
  add(std::move(stream), std::move(joining));
}

void Bootstrap::add_outbound(std::unique_ptr<ByteStream> stream, const Secret& secret,
                             std::uint64_t peer) {
  Joining joining;
  joining.end = End::kConnecting;
  joining.secret = secret;
  joining.peer = peer;
  joining.deadline = clock_.now() + from_ms(options_.connect_timeout_ms);
  add(std::move(stream), std::move(joining));
}

void Bootstrap::add(std::unique_ptr<ByteStream> stream, Joining joining) {
  const std::uint64_t id = joining_.acquire();
  SLUICE_CHECK(id != 0, "{} handshakes", joining_.used());
  stream->tag = id | kTagBit;
  joining.own_nonce = random_nonce();
  joining.began = clock_.now();
  if (joining.end == End::kAccepting) ++inbound_;
  joining.link = std::make_unique<FrameStream>(std::move(stream),
                                               wire::largest_body(options_.small_bytes), clock_);
  Joining& slot = *joining_.find(id);
  slot = std::move(joining);
  if (slot.end == End::kConnecting) {
    wire::Hello hello;
    hello.nonce = slot.own_nonce;
    slot.link->queue(wire::FrameType::kHello, hello);
    if (slot.link->flush() == IoAnswer::kFailed) {  // Refused at once: no ready() will follow.
      fail(slot, slot.link->stream().failure());
      release(id);
    }
  }
}

bool Bootstrap::make_room() {
  if (inbound_ < options_.max_handshakes) return true;
  std::uint64_t oldest = 0;
  joining_.for_each([&](std::uint64_t id, const Joining& joining) {
    if (joining.end != End::kAccepting) return;
    if (oldest == 0 || joining.began < joining_.find(oldest)->began) oldest = id;
  });
  Joining& slowest = *joining_.find(oldest);
  if (clock_.now() - slowest.began < kFairTime) return false;
  if (!slowest.leaving) {
    fail(slowest, {StatusCode::kUnavailable,
                   fmt::format("pushed out by newer ones: {} handshakes under way is the most "
                               "(max_handshakes)",
                               inbound_)});
  }
  release(oldest);
  return true;
}

void Bootstrap::release(std::uint64_t id) {
  if (joining_.find(id)->end == End::kAccepting) --inbound_;
  joining_.release(id);
}

void Bootstrap::forget(std::uint64_t peer) {
  joining_.for_each([&](std::uint64_t id, Joining& joining) {
    if (joining.end == End::kConnecting && joining.peer == peer) release(id);
  });
  std::erase_if(outcomes_, [peer](const Outcome& outcome) { return outcome.peer == peer; });
}

std::size_t Bootstrap::on_ready(std::uint64_t tag) {
  const std::uint64_t id = tag & ~kTagBit;
  Joining* joining = joining_.find(id);
  if (joining == nullptr) return 0;
  const IoAnswer flushed = joining->link->flush();
  const IoAnswer filled = joining->link->fill();
  if (joining->leaving) {  // Nothing it says matters any more; it goes when it has hung up.
    FrameStream::Frame ignored;
    while (joining->link->next(ignored) == FrameStream::Next::kFrame) {
    }
    if (filled == IoAnswer::kEnd || filled == IoAnswer::kFailed) release(id);
    return 1;
  }
  on_frames(id, *joining);
  joining = joining_.find(id);
  if (joining == nullptr || joining->leaving) return 1;
  if (filled == IoAnswer::kFailed || flushed == IoAnswer::kFailed) {
    fail(*joining, joining->link->stream().failure());
    release(id);
  } else if (filled == IoAnswer::kEnd) {
    fail(*joining, {StatusCode::kPeerLost, "it hung up before the handshake was over"});
    release(id);
  }
  return 1;
}

void Bootstrap::on_frames(std::uint64_t id, Joining& joining) {
  FrameStream::Frame frame;
  while (true) {
    const FrameStream::Next next = joining.link->next(frame);
    if (next == FrameStream::Next::kNone) return;
    const Status status = next == FrameStream::Next::kBad
                              ? protocol_error("its first bytes are not a sluice frame")
                              : on_frame(id, joining, frame);
    if (!status.ok()) {
      fail(joining, status);
      refuse(joining, status);
      if (!joining.leaving) release(id);
      return;
    }
    if (joining_.find(id) == nullptr) return;  // It has joined.
  }
}

Status Bootstrap::on_frame(std::uint64_t id, Joining& joining, const FrameStream::Frame& frame) {
  const bool accepting = joining.end == End::kAccepting;
  if (frame.type == wire::FrameType::kRefused && !accepting) {
    wire::Farewell farewell;
    if (!decode(frame, farewell)) return protocol_error("a malformed Refused");
    return {farewell.code, fmt::format("refused by the other end: {}", printable(farewell.reason))};
  }
  if (!joining.greeted) {
    if (frame.type != (accepting ? wire::FrameType::kHello : wire::FrameType::kChallenge)) {
      return protocol_error(
          fmt::format("frame type {} where the handshake begins", static_cast<int>(frame.type)));
    }
    return accepting ? on_hello(joining, frame) : on_challenge(joining, frame);
  }
  if (frame.type != (accepting ? wire::FrameType::kProof : wire::FrameType::kWelcome)) {
    return protocol_error(
        fmt::format("frame type {} where a proof is due", static_cast<int>(frame.type)));
  }
  PeerLimits limits;
  const Status status = on_proof(joining, frame, limits);
  if (status.ok()) joined(id, joining, std::move(limits));
  return status;
}

Status Bootstrap::on_hello(Joining& joining, const FrameStream::Frame& frame) {
  wire::Hello hello;
  if (!decode(frame, hello)) return protocol_error("a malformed Hello");
  joining.greeted = true;
  if (wire::kVersion < hello.oldest_version || wire::kVersion > hello.newest_version) {
    return protocol_error(fmt::format("it speaks protocol versions {} to {}, this end only {}",
                                      hello.oldest_version, hello.newest_version, wire::kVersion));
  }
  joining.peer_nonce = hello.nonce;
  wire::Challenge challenge;
  challenge.nonce = joining.own_nonce;
  joining.link->queue(wire::FrameType::kChallenge, challenge);
  joining.link->flush();
  return {};
}

Status Bootstrap::on_challenge(Joining& joining, const FrameStream::Frame& frame) {
  wire::Challenge challenge;
  if (!decode(frame, challenge)) return protocol_error("a malformed Challenge");
  if (challenge.version != wire::kVersion) {
    return protocol_error(fmt::format("it chose protocol version {}, this end speaks only {}",
                                      challenge.version, wire::kVersion));
  }
  joining.peer_nonce = challenge.nonce;
  joining.greeted = true;
  wire::Proof proof;
  proof.limits = own_;
  proof.proof =
      prove(joining.secret, End::kConnecting, joining.own_nonce, joining.peer_nonce, own_);
  joining.link->queue(wire::FrameType::kProof, proof);
  joining.link->flush();
  return {};
}

Status Bootstrap::on_proof(Joining& joining, const FrameStream::Frame& frame, PeerLimits& limits) {
  wire::Proof proof;
  if (!decode(frame, proof)) return protocol_error("a malformed proof");
  const bool accepting = joining.end == End::kAccepting;
  const Nonce& connecting_nonce = accepting ? joining.peer_nonce : joining.own_nonce;
  const Nonce& accepting_nonce = accepting ? joining.own_nonce : joining.peer_nonce;
  const ProofBytes due = prove(joining.secret, accepting ? End::kConnecting : End::kAccepting,
                               connecting_nonce, accepting_nonce, proof.limits);
  // Where anyone may connect, the accepting end asks for no proof but still gives its own.
  const bool required = !accepting || options_.allow_anyone == 0;
  if (required && !same_proof(due, proof.proof)) {
    return {StatusCode::kDenied, "wrong or missing token: it did not prove this engine's secret"};
  }
  if (proof.limits.net != own_.net) {
    return {StatusCode::kInvalidArgument,
            fmt::format("it moves bytes over net {}, this end over {}", printable(proof.limits.net),
                        own_.net)};
  }
  limits.generation = proof.limits.generation;
  limits.chunk_bytes = proof.limits.chunk_bytes;
  limits.small_bytes = proof.limits.small_bytes;
  limits.channels = proof.limits.channels;
  limits.peer_timeout_ms = proof.limits.peer_timeout_ms;
  limits.request_bytes = proof.limits.request_bytes;
  limits.kept_list_bytes = proof.limits.kept_list_bytes;
  limits.checksum = proof.limits.checksum || own_.checksum;
  limits.name = printable(proof.limits.name);
  if (accepting) {
    wire::Proof welcome;
    welcome.limits = own_;
    welcome.proof = prove(joining.secret, End::kAccepting, connecting_nonce, accepting_nonce, own_);
    joining.link->queue(wire::FrameType::kWelcome, welcome);
    joining.link->flush();
  }
  return {};
}

void Bootstrap::joined(std::uint64_t id, Joining& joining, PeerLimits limits) {
  Outcome outcome;
  outcome.peer = joining.peer;
  outcome.link = std::move(joining.link);
  if (limits.checksum) outcome.link->check_frames();
  outcome.limits = std::move(limits);
  outcomes_.push_back(std::move(outcome));
  release(id);
}

// Logs it, once, and tells the engine if it was the engine's own wish.
void Bootstrap::fail(Joining& joining, const Status& status) {
  SLUICE_LOG(kWarning, kComponent, "{} {} closed: {}",
             joining.end == End::kAccepting ? "connection from" : "connection to",
             joining.link->stream().remote(), status.message());
  if (joining.end == End::kAccepting) return;
  Outcome outcome;
  outcome.peer = joining.peer;
  outcome.status = status.with_context(joining.link->stream().remote());
  outcomes_.push_back(std::move(outcome));
}

// Tells an inbound stranger why, if what he said so far was a sluice engine's.
void Bootstrap::refuse(Joining& joining, const Status& status) {
  if (joining.end != End::kAccepting || !joining.greeted) return;
  wire::Farewell farewell{status.code(), status.message()};
  joining.link->queue(wire::FrameType::kRefused, farewell);
  if (joining.link->flush() != IoAnswer::kSome) return;
  joining.link->stream().end_writes();
  joining.leaving = true;
}

Nanoseconds Bootstrap::on_time(Nanoseconds now) {
  Nanoseconds next = now + from_ms(3'600'000);
  joining_.for_each([&](std::uint64_t id, Joining& joining) {
    if (now < joining.deadline) {
      next = std::min(next, joining.deadline);
      return;
    }
    if (!joining.leaving) {
      const bool accepting = joining.end == End::kAccepting;
      fail(joining,
           {StatusCode::kTimedOut,
            fmt::format("no handshake within {} ms ({})",
                        accepting ? options_.handshake_timeout_ms : options_.connect_timeout_ms,
                        accepting ? "handshake_timeout_ms" : "connect_timeout_ms")});
    }
    release(id);
  });
  return next;
}

Bootstrap::Outcome Bootstrap::take_outcome() {
  Outcome outcome = std::move(outcomes_.front());
  outcomes_.pop_front();
  return outcome;
}

}  // namespace sluice
