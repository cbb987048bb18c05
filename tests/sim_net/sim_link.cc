#include "tests/sim_net/sim_link.h"

#include <algorithm>
#include <cstring>

#include "src/base/check.h"
#include "src/base/crc32c.h"
#include "tests/sim_net/sim_net.h"

namespace sluice::sim {
namespace {

std::uint64_t checksum(const std::byte* from, std::uint64_t bytes) {
  std::uint64_t lanes[4] = {1, 2, 3, 4};
  std::uint64_t i = 0;
  for (; i + 32 <= bytes; i += 32) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      std::uint64_t word;
      std::memcpy(&word, from + i + 8 * lane, 8);
      lanes[lane] = (lanes[lane] ^ word) * 0x9e3779b97f4a7c15;
      lanes[lane] ^= lanes[lane] >> 32;
    }
  }
  std::uint64_t sum = lanes[0] ^ lanes[1] * 3 ^ lanes[2] * 5 ^ lanes[3] * 7;
  for (; i < bytes; ++i) sum = (sum ^ static_cast<std::uint64_t>(from[i])) * 0x100000001b3;
  return sum;
}

}  // namespace

SimMemory::SimMemory(SimNet& net, std::span<std::byte> range) : net_(net), range_(range) {
  net_.count_parts(1);
}

SimMemory::~SimMemory() {
  SLUICE_CHECK(posted_ == 0, "deregistered while {} posted chunks use it", posted_);
  net_.count_parts(-1);
}

bool SimMemory::covers(const std::byte* from, std::uint64_t bytes) const {
  if (bytes == 0) return true;
  const auto first = reinterpret_cast<std::uintptr_t>(from);
  const auto base = reinterpret_cast<std::uintptr_t>(range_.data());
  return first >= base && bytes <= range_.size() && first - base <= range_.size() - bytes;
}

SimLink::SimLink(SimWorld& world, SimNet& sender, SimNet& receiver)
    : SimActor(world), way_(world.options().buffered_chunks) {
  const SimOptions& options = world.options();
  const std::array<SimNet*, 2> nets{&sender, &receiver};
  for (std::size_t side = 0; side < 2; ++side) {
    ends_[side].net = nets[side];
    ends_[side].host = nets[side]->host();
    ends_[side].ring.resize(options.most_in_flight);
  }
  for (OnTheWay& place : way_) place.bytes.reserve(options.largest_chunk);
  if (options.delivery == Delivery::kFragments) {
    for (Posted& chunk : ends_[kReceiver].ring) chunk.fragments.reserve(kMostFragments);
  }
  if (world.chance(options.fail_percent)) {
    fail_chunk_ = options.fail_from + world.draw(options.fail_to - options.fail_from + 1);
  }
}

// ---- What the channels call.

bool SimLink::busy(End& end) {
  const SimOptions& options = world_.options();
  if (world_.now() >= end.busy_until && !world_.chance(options.busy_percent)) return false;
  if (world_.now() >= end.busy_until) {
    end.busy_until = world_.soon(options.busy_time) + 1;
    world_.wake(id(), end.busy_until);
  }
  return true;
}

PostAnswer SimLink::post(End& end, std::byte* at, std::uint64_t bytes, SimMemory& memory) {
  const SimOptions& options = world_.options();
  const bool receiving = &end == &ends_[kReceiver];
  const std::uint64_t in_flight = end.posted - (receiving ? end.consumed : end.reported);
  SLUICE_CHECK(bytes <= options.largest_chunk, "chunk of {} bytes, largest is {}", bytes,
               options.largest_chunk);
  SLUICE_CHECK(&memory.net() == end.net && memory.covers(at, bytes),
               "{} bytes outside of the registered memory", bytes);
  if (end.failed || end.aborted) return PostAnswer::kFailed;
  SLUICE_CHECK(in_flight < options.most_in_flight, "{} in flight, most is {}", in_flight,
               options.most_in_flight);
  if (busy(end)) return PostAnswer::kBusy;
  Posted& chunk = end.at(end.posted++);
  chunk.at = at;
  chunk.bytes = bytes;
  chunk.memory = &memory;
  chunk.wants_remainder = end.takes_remainders;
  chunk.remainder = 0xbad;  // Nobody may rely on it.
  chunk.due = world_.soon(options.chunk_delay);
  memory.use();
  world_.wake(id(), chunk.due);
  return PostAnswer::kPosted;
}

PostAnswer SimLink::post_send(const std::byte* from, std::uint64_t bytes, SimMemory& memory) {
  End& end = ends_[kSender];
  const PostAnswer answer = post(end, const_cast<std::byte*>(from), bytes, memory);
  if (answer != PostAnswer::kPosted) return answer;
  Posted& chunk = end.at(end.posted - 1);
  chunk.checksum = checksum(from, bytes);
  if (chunk.wants_remainder) chunk.remainder = crc32c_remainder({from, bytes});
  return answer;
}

PostAnswer SimLink::post_recv(std::byte* into, std::uint64_t bytes, SimMemory& memory) {
  return post(ends_[kReceiver], into, bytes, memory);
}

void SimLink::note_test(End& end) {
  SLUICE_CHECK(end.reported < end.posted, "test with nothing posted, {} reported", end.reported);
  end.tested = true;
  if (end.waiting) world_.wake(id(), world_.now());
  end.waiting = false;
}

TestAnswer SimLink::report(End& end, TestAnswer answer) {
  end.at(end.reported++).memory->let_go();
  if (answer == TestAnswer::kDone) ++end.done;
  return answer;
}

TestAnswer SimLink::test_send(std::uint32_t& remainder) {
  End& end = ends_[kSender];
  note_test(end);
  const bool taken = end.reported < end.finished;
  if (!taken && !end.failed) return TestAnswer::kPending;
  const Posted& chunk = end.at(end.reported);
  // A dead host's memory may be gone.
  if (world_.alive(end.host)) {
    SLUICE_CHECK(checksum(chunk.at, chunk.bytes) == chunk.checksum,
                 "send {} of {} bytes was changed while posted", end.reported, chunk.bytes);
  }
  if (taken) remainder = chunk.remainder;
  return report(end, taken ? TestAnswer::kDone : TestAnswer::kFailed);
}

TestAnswer SimLink::test_recv(Arrival& arrival) {
  End& end = ends_[kReceiver];
  note_test(end);
  Posted& chunk = end.at(end.reported);
  if (end.reported < end.finished) {
    arrival = {chunk.arrived_bytes, chunk.fragments, end.net->pool().bytes(), chunk.remainder};
    return report(end, TestAnswer::kDone);
  }
  if (!end.failed) return TestAnswer::kPending;
  if (end.reported == end.finished) scribble(chunk);
  return report(end, TestAnswer::kFailed);
}

void SimLink::consume() {
  End& end = ends_[kReceiver];
  SLUICE_CHECK(end.consumed < end.done, "consume without Done, {} consumed", end.consumed);
  end.net->pool().release(end.at(end.consumed++).fragments);
}

void SimLink::abort(Side side) {
  End& end = ends_[side];
  if (end.aborted) return;
  end.aborted = true;
  if (side == kSender && world_.options().close_loses) way_lost_ = true;
  fail_soon(end, Status(StatusCode::kClosed, "channel aborted by its owner"));
}

void SimLink::close(Side side) {
  End& end = ends_[side];
  SLUICE_CHECK(end.aborted || end.reported == end.posted,
               "channel destroyed with {} unreported chunks and no abort",
               end.posted - end.reported);
  while (end.reported < end.posted) report(end, TestAnswer::kFailed);
  while (end.consumed < end.done) end.net->pool().release(end.at(end.consumed++).fragments);
  for (std::uint64_t i = end.done; side == kReceiver && i < end.finished; ++i) {
    end.net->pool().release(end.at(i).fragments);
  }
  end.open = false;
  end.net = nullptr;
  if (side == kSender && world_.options().close_loses) way_lost_ = true;
  fail_now(end, Status(StatusCode::kClosed, "channel closed"));
  world_.wake(id(), world_.now());
}

// The memory of a chunk is the Net's until it is reported: part of it may have come.
void SimLink::scribble(const Posted& chunk) {
  if (world_.options().delivery == Delivery::kFragments || !world_.alive(ends_[kReceiver].host)) {
    return;
  }
  const std::uint64_t bytes = world_.draw(chunk.bytes + 1);
  if (bytes > 0) std::memset(chunk.at, 0xee, bytes);
}

// ---- What happens by itself.

void SimLink::fail_now(End& end, Status status) {
  if (end.failed) return;
  end.failed = true;
  end.failure = std::move(status);
  if (end.open) end.net->ring();
}

void SimLink::fail_soon(End& end, Status status) {
  if (end.failed || end.fail_at != kNever) return;
  end.cause = std::move(status);
  end.fail_at = world_.soon(world_.options().chunk_delay + 1);
  world_.wake(id(), end.fail_at);
}

void SimLink::notice_death(Side side) {
  End& end = ends_[side];
  if (end.failed || world_.alive(end.host)) return;
  if (side == kSender) way_lost_ = world_.chance(50);
  fail_now(end, Status(StatusCode::kClosed, "this host has been killed"));
}

void SimLink::break_off() {
  broken_ = true;
  const std::string cause = fmt::format("connection broke at chunk {}", ends_[kSender].finished);
  for (End& end : ends_) fail_soon(end, Status(StatusCode::kPeerLost, cause));
}

void SimLink::spread_failures() {
  End& sender = ends_[kSender];
  End& receiver = ends_[kReceiver];
  for (End* end : {&sender, &receiver}) {
    if (world_.now() >= end->fail_at) fail_now(*end, end->cause);
  }
  if (!world_.passes(sender.host, receiver.host)) return;
  if (sender.failed && (way_lost_ || receiver.finished >= sender.finished)) {
    fail_soon(receiver, Status(StatusCode::kPeerLost, "the sender has gone"));
  }
  if (receiver.failed) fail_soon(sender, Status(StatusCode::kPeerLost, "the receiver has gone"));
}

void SimLink::ring(const End& end) {
  if (!end.open) return;
  if (world_.options().late_wake && end.finished < end.posted) return;
  end.net->ring();
}

// Whether chunks of this end may move now.
bool SimLink::movable(End& end) {
  if (end.failed || broken_ || end.finished == end.posted || world_.stopped(end.host)) return false;
  if (world_.options().poll_only && !end.tested) {
    end.waiting = true;
    return false;
  }
  return true;
}

// The bytes of the oldest chunk that has not come to its receive. False if they do not fit now.
bool SimLink::arrive(std::span<const std::byte> bytes) {
  End& end = ends_[kReceiver];
  Posted& chunk = end.at(end.finished);
  if (bytes.size() > chunk.bytes) {
    fail_now(end,
             Status(StatusCode::kTooLong, fmt::format("chunk {} of {} bytes met a receive of {}",
                                                      end.finished, bytes.size(), chunk.bytes)));
    way_lost_ = true;
    return false;
  }
  if (!bytes.empty() && world_.options().lie_percent > 0 &&
      world_.chance(world_.options().lie_percent)) {
    lie_.assign(bytes.begin(), bytes.end());
    lie_[world_.draw(lie_.size())] ^= std::byte{1} << world_.draw(8);
    bytes = lie_;
  }
  if (world_.options().delivery == Delivery::kFragments) {
    if (!end.net->pool().place(bytes, chunk.fragments, id())) return false;
  } else if (!bytes.empty()) {
    std::memcpy(chunk.at, bytes.data(), bytes.size());
  }
  if (chunk.wants_remainder) chunk.remainder = crc32c_remainder(bytes);
  chunk.arrived_bytes = bytes.size();
  ++end.finished;
  end.tested = false;
  ring(end);
  return true;
}

bool SimLink::take() {
  End& end = ends_[kSender];
  End& receiver = ends_[kReceiver];
  if (!movable(end)) return false;
  Posted& chunk = end.at(end.finished);
  if (world_.now() < chunk.due) return false;
  if (end.finished == fail_chunk_) {
    fail_chunk_ = kNoChunk;
    if (world_.may_break()) {
      break_off();
      return false;
    }
  }
  const std::uint64_t on_the_way = end.finished - receiver.finished;
  const bool room = on_the_way < way_.size();
  const bool direct = on_the_way == 0 && world_.passes(end.host, receiver.host) &&
                      movable(receiver) && (!room || world_.chance(50));
  if (direct) {
    if (!arrive({chunk.at, chunk.bytes})) return false;
  } else if (room) {
    OnTheWay& place = way_[end.finished % way_.size()];
    place.bytes.assign(chunk.at, chunk.at + chunk.bytes);
    place.due = last_due_ = std::max(last_due_, world_.soon(world_.options().chunk_delay));
    world_.wake(id(), place.due);
  } else {
    return false;
  }
  ++end.finished;
  end.tested = false;
  ring(end);
  return true;
}

bool SimLink::deliver() {
  End& end = ends_[kReceiver];
  if (way_lost_ || end.finished == ends_[kSender].finished) return false;
  if (!world_.passes(ends_[kSender].host, end.host) || !movable(end)) return false;
  const OnTheWay& place = way_[end.finished % way_.size()];
  return world_.now() >= place.due && arrive(place.bytes);
}

void SimLink::step() {
  notice_death(kSender);
  notice_death(kReceiver);
  spread_failures();
  while (deliver() || take()) {
  }
  spread_failures();
}

}  // namespace sluice::sim
