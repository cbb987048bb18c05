// What must hold of the transfers of a run of EngineSim, and at its end.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/sim_net/engine_sim.h"

namespace sluice::sim {
namespace {

constexpr Nanoseconds kReleaseLimit = from_ms(60'000);

}  // namespace

void EngineSim::check_receive(Node& node, Ask& ask, const Completion& completion) {
  const std::size_t index = static_cast<std::size_t>(&node - nodes_.data());
  const std::string what = fmt::format("e{}: message {} from e{} ({} bytes, room for {}): ", index,
                                       ask.message, ask.peer, completion.bytes, ask.length);
  const std::byte* slice = node.memory.data() + ask.offset;
  if (!holds_only({slice - kGuardBytes, kGuardBytes}, kGuard) ||
      !holds_only({slice + ask.length, kGuardBytes}, kGuard)) {
    violation(what + "written outside of its slice");
  }
  const Message& message = nodes_[ask.peer].pairs[index].messages[ask.message];
  if (completion.status.ok()) {
    if (completion.bytes != message.bytes || message.bytes > ask.length) {
      violation(what + fmt::format("but {} were sent", message.bytes));
    } else if (std::memcmp(slice, arena_.noise.data() + message.source, message.bytes) != 0) {
      violation(what + "wrong bytes");
    } else if (!holds_only({slice + message.bytes, ask.length - message.bytes}, kGuard)) {
      violation(what + "written behind the message");
    }
  }
  ask.digest = digest(node, ask);
}

// With its guards.
std::uint64_t EngineSim::digest(const Node& node, std::size_t offset, std::size_t length) const {
  const auto bytes = node.memory.subspan(offset - kGuardBytes, length + 2 * kGuardBytes);
  std::uint64_t sum = bytes.size();
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 29;
  }
  for (; i < bytes.size(); ++i) sum = (sum ^ static_cast<std::uint64_t>(bytes[i])) * 0x100000001b3;
  return sum;
}

// ---- One-sided transfers.

std::string EngineSim::name_of(const Reach& reach) {
  static constexpr std::array<const char*, 3> kNames{"write", "read", "notify"};
  return fmt::format("{} {} of e{} at e{} ({} bytes in {} and {} slices, handle {}, life {}{}{})",
                     kNames[static_cast<std::size_t>(reach.op)], reach.number, reach.initiator,
                     reach.target, reach.bytes, reach.here.pieces.size(), reach.there.pieces.size(),
                     static_cast<int>(reach.handle), reach.life,
                     reach.notifies ? fmt::format(", tells {}", reach.notification_bytes) : "",
                     reach.cancelled       ? ", cancelled"
                     : reach.deadline != 0 ? ", with a deadline"
                                           : "");
}

bool EngineSim::holds_image(const Node& node, const Window& window, std::size_t source) const {
  for (const Piece& piece : window.pieces) {
    if (std::memcmp(node.memory.data() + piece.offset, arena_.noise.data() + source,
                    piece.length) != 0) {
      return false;
    }
    source += piece.length;
  }
  return true;
}

bool EngineSim::gaps_untouched(const Node& node, const Window& window) const {
  std::vector<Piece> pieces = window.pieces;
  std::ranges::sort(pieces, {},
                    [](const Piece& piece) { return std::pair(piece.offset, piece.length); });
  pieces.push_back({window.offset + window.length + kGuardBytes, 0});
  std::size_t at = window.offset - kGuardBytes;
  for (const Piece& piece : pieces) {
    if (!holds_only(node.memory.subspan(at, piece.offset - at), kGuard)) return false;
    at = piece.offset + piece.length;
  }
  return true;
}

bool EngineSim::untouched(const Node& node, const Window& window) const {
  return holds_only(
      node.memory.subspan(window.offset - kGuardBytes, window.length + 2 * kGuardBytes), kGuard);
}

// Not of a host that was killed after that.
bool EngineSim::remembers(std::size_t index, std::size_t life) const {
  const bool kills = fault_ == Fault::kKill || fault_ == Fault::kRestart;
  const bool killed = kills && fault_done_ && index == victim_;
  return !killed || (fault_undone_ && fault_ == Fault::kRestart && life == 1);
}

// Of a transfer that has gone well, as far as anybody can know.
void EngineSim::check_data(const Reach& reach, const std::string& when) {
  if (reach.op == Op::kNotify) return;
  const bool reads = reach.op == Op::kRead;
  const std::size_t index = reads ? reach.initiator : reach.target;
  if (!remembers(index, reach.life)) return;
  const Window& window = reads ? reach.here : reach.there;
  if (!holds_image(nodes_[index], window, reach.source)) {
    violation(name_of(reach) + ": wrong bytes " + when);
  }
  if (!gaps_untouched(nodes_[index], window)) {
    violation(name_of(reach) + ": written outside of its slices " + when);
  }
}

// Its data is not what was sent, which ended it alone: the failure of a peer names the peer first.
bool EngineSim::differed(const Status& status) {
  return status.code() == StatusCode::kCorrupted && !status.message().starts_with("peer ");
}

void EngineSim::check_status(const Reach& reach, const Completion& completion) {
  const StatusCode code = completion.status.code();
  const auto wrong = [&](const char* what) {
    violation(name_of(reach) + ": " + what + ": " + completion.status.to_string());
  };
  if (completion.bytes != (code == StatusCode::kOk ? reach.bytes : 0)) wrong("its bytes");
  const bool refused = reach.refusal != StatusCode::kOk && code == reach.refusal;
  const bool ended =
      (code == StatusCode::kCancelled && reach.cancelled) ||
      (code == StatusCode::kTimedOut && reach.deadline != 0 && world_->now() >= reach.deadline);
  if (code == StatusCode::kOk) {
    if (reach.refusal != StatusCode::kOk && !reach.may_pass) wrong("not refused");
    return;
  }
  if (refused || ended || (differed(completion.status) && fault_ == Fault::kLie)) {
    if (reach.told) wrong("told although it ended");
    return;
  }
  const bool strange = code == StatusCode::kProtocol || code == StatusCode::kInvalidArgument ||
                       code == StatusCode::kNotFound || code == StatusCode::kWouldBlock ||
                       code == StatusCode::kDenied || code == StatusCode::kSystem ||
                       code == StatusCode::kCancelled;
  if (strange || !may_fail(reach.initiator, reach.target, reach.life)) wrong("ended");
}

void EngineSim::Tally::operator+=(const Tally& other) {
  written += other.written;
  read += other.read;
  told += other.told;
  cancelled += other.cancelled;
  late += other.late;
  refused += other.refused;
}

void EngineSim::count(const Reach& reach) {
  const StatusCode code = reach.status.code();
  if (code == StatusCode::kOk) {
    if (reach.op == Op::kWrite) ++tally_.written;
    if (reach.op == Op::kRead) ++tally_.read;
  } else if (code == StatusCode::kCancelled) {
    ++tally_.cancelled;
  } else if (code == reach.refusal) {
    ++tally_.refused;
  } else if (code == StatusCode::kTimedOut && reach.deadline != 0) {
    ++tally_.late;
  }
}

void EngineSim::complete_reach(Node& node, Reach& reach, const Completion& completion) {
  if (reach.complete) {
    violation(name_of(reach) + ": completed twice");
    return;
  }
  reach.complete = true;
  reach.status = completion.status;
  --node.incomplete;
  ++completed_;
  check_status(reach, completion);
  count(reach);
  if (reach.op == Op::kNotify) return;
  if (completion.status.ok()) check_data(reach, "when complete");
  if (reach.op == Op::kWrite) {
    for (const Piece& piece : reach.here.pieces) {
      std::memset(node.memory.data() + piece.offset, static_cast<int>(kReused), piece.length);
    }
    // Not so if the peer was lost: what was on the way to it may still come.
    const bool given_up = completion.status.code() == StatusCode::kCancelled ||
                          completion.status.message().find("deadline") != std::string_view::npos;
    if (given_up && !reach.frozen && remembers(reach.target, reach.life)) {
      const Window& there = reach.there;
      reach.frozen = true;
      reach.digest_there = digest(nodes_[reach.target], there.offset, there.length);
    }
  }
  reach.digest_here = digest(node, reach.here.offset, reach.here.length);
}

void EngineSim::check_reach_at_end(Reach& reach) {
  if (reach.op == Op::kNotify) return;
  const Node& node = nodes_[reach.initiator];
  const Node& target = nodes_[reach.target];
  const bool here = remembers(reach.initiator, reach.life) && !reach.forgotten;
  const bool there = remembers(reach.target, reach.life);
  if (here && reach.complete &&
      reach.digest_here != digest(node, reach.here.offset, reach.here.length)) {
    violation(name_of(reach) + ": its own slices were written after it completed");
  }
  if (here && !gaps_untouched(node, reach.here)) {
    violation(name_of(reach) + ": written outside of its own slices");
  }
  if (!there) return;
  if (!gaps_untouched(target, reach.there)) {
    violation(name_of(reach) + ": written outside of its slices at the target");
  }
  if (reach.frozen &&
      reach.digest_there != digest(target, reach.there.offset, reach.there.length)) {
    violation(name_of(reach) +
              ": the target's memory was written when nothing might come any more");
  }
  const bool refused = reach.complete && !reach.status.ok() &&
                       reach.status.code() == reach.refusal && reach.op == Op::kWrite;
  if (refused && !untouched(target, reach.there)) {
    violation(name_of(reach) + ": written although it was refused");
  }
  const bool landed = reach.complete && reach.status.ok();
  if ((landed || reach.op == Op::kRead) && !holds_image(target, reach.there, reach.source)) {
    violation(name_of(reach) + ": the target's memory has changed");
  }
}

// ---- The end.

// What the other ends' last words have not reached yet may still be in use.
void EngineSim::release_regions() {
  releasing_ = true;
  const Nanoseconds deadline = world_->now() + kReleaseLimit;
  for (std::size_t i = 0; i < nodes_.size() && violations_.empty(); ++i) {
    Node& node = nodes_[i];
    if (!running(i)) continue;
    for (const RegionId region : {node.region, node.also, node.doomed}) {
      Status status = node.engine->deregister(region);
      while (status.code() == StatusCode::kWouldBlock && world_->now() < deadline) {
        turn();
        status = node.engine->deregister(region);
      }
      if (region == node.doomed && node.doomed_gone) continue;
      if (!status.ok()) violation(fmt::format("e{}: {}", i, status.to_string()));
    }
    node.doomed_gone = true;
  }
  for (Node& node : nodes_) {
    for (Reach& reach : node.reaches) {
      const Node& target = nodes_[reach.target];
      if (reach.frozen || reach.op == Op::kNotify || !running(reach.target)) continue;
      reach.frozen = true;
      reach.digest_there = digest(target, reach.there.offset, reach.there.length);
    }
  }
}

void EngineSim::check_end() {
  closing_ = true;
  const bool good = violations_.empty();  // Else what was cut short would add its own.
  for (std::size_t i = 0; i < nodes_.size() && violations_.empty(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) check_pair(i, j);
  }
  check_rebuilds();
  killed_.clear();
  const std::size_t first = draw(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[(first + i) % nodes_.size()];
    node.engine.reset();
  }
  while (world_->run_next()) {
  }
  for (Node& node : nodes_) {
    if (!good) break;
    for (Reach& reach : node.reaches) check_reach_at_end(reach);
    if (!world_->alive(node.host)) continue;
    for (const Ask& ask : node.asks) {
      if (!ask.sending && ask.complete && ask.digest != digest(node, ask)) {
        violation(fmt::format("receive {} was written after it completed",
                              static_cast<std::uint64_t>(ask.id)));
      }
    }
  }
}

// Both ends of a message have the same story.
void EngineSim::check_pair(std::size_t from, std::size_t to) {
  for (const Ask& send : nodes_[from].asks) {
    if (!send.sending || send.peer != to || send.life < life_of(from, to)) continue;
    const auto recv =
        std::find_if(nodes_[to].asks.begin(), nodes_[to].asks.end(), [&](const Ask& ask) {
          return !ask.sending && ask.peer == from && ask.message == send.message;
        });
    if (recv == nodes_[to].asks.end() || !recv->complete || !send.complete) continue;
    const bool must_agree = !may_fail(from, to) || (few_failures_ && !lost(from, to)) ||
                            (fault_ == Fault::kClose && from == victim_ && send.status.ok());
    if (must_agree && send.status.code() != recv->status.code()) {
      violation(fmt::format("message {} from e{} to e{}: sent {}, received {}", send.message, from,
                            to, send.status.to_string(), recv->status.to_string()));
    }
    const Message& message = nodes_[from].pairs[to].messages[send.message];
    const bool too_long = message.bytes > message.capacity;
    if (!may_fail(from, to) && (send.status.code() == StatusCode::kTooLong) != too_long) {
      violation(fmt::format("message {} from e{} to e{}: {}", send.message, from, to,
                            send.status.to_string()));
    }
  }
}

}  // namespace sluice::sim
