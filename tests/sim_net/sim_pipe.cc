#include "tests/sim_net/sim_pipe.h"

#include <algorithm>
#include <cstring>

#include "src/base/check.h"

namespace sluice::sim {

void ByteQueue::push(std::span<const std::byte> bytes) {
  if (size() == 0) clear();
  if (head_ > 0 && bytes_.size() + bytes.size() > bytes_.capacity()) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

std::size_t ByteQueue::pop(std::span<std::byte> into) {
  const std::size_t count = std::min(into.size(), size());
  if (count > 0) std::memcpy(into.data(), bytes_.data() + head_, count);
  head_ += count;
  return count;
}

void ByteQueue::move_to(ByteQueue& other, std::size_t count) {
  other.push(std::span<const std::byte>(bytes_).subspan(head_, count));
  head_ += count;
}

void ByteQueue::clear() {
  bytes_.clear();
  head_ = 0;
}

SimPipe::SimPipe(SimWorld& world, SimHost from, std::uint16_t from_port, SimHost to,
                 std::uint16_t port)
    : SimActor(world), connect_at_(world.soon(world.options().control_delay)) {
  ends_[kConnecting].host = from;
  ends_[kConnecting].port = from_port;
  ends_[kAccepting].host = to;
  ends_[kAccepting].port = port;
  world.wake(id(), connect_at_);
}

std::string SimPipe::name_of(Side side) const {
  return fmt::format("{}:{}", world_.address(ends_[side].host), ends_[side].port);
}

std::size_t SimPipe::room_towards(const End& end) const {
  const std::size_t held = end.flying.size() + end.arrived.size();
  const std::size_t most = world_.options().control_buffer_bytes;
  return held < most ? most - held : 0;
}

std::size_t SimPipe::shorten(std::size_t bytes) {
  if (bytes <= 1 || !world_.chance(world_.options().short_io_percent)) return bytes;
  return world_.chance(50) ? 1 : 1 + world_.draw(bytes);
}

Nanoseconds SimPipe::next_due(End& end) {
  end.last_due = std::max(end.last_due, world_.soon(world_.options().control_delay));
  world_.wake(id(), end.last_due);
  return end.last_due;
}

IoResult SimPipe::read(Side side, std::span<std::byte> into) {
  End& end = ends_[side];
  SLUICE_CHECK(!into.empty(), "a read of no bytes at {}", name_of(side));
  if (end.arrived.size() > 0) {
    const std::size_t most = std::min(into.size(), end.arrived.size());
    const std::size_t count = end.arrived.pop(into.first(shorten(most)));
    world_.wake(id(), world_.now());  // There is room for the other end now.
    return {IoAnswer::kSome, count};
  }
  if (!end.failure.ok()) return {IoAnswer::kFailed, 0};
  return {end.end_came ? IoAnswer::kEnd : IoAnswer::kNotYet, 0};
}

IoResult SimPipe::write(Side side, std::span<const std::byte> from) {
  End& end = ends_[side];
  End& peer = ends_[other(side)];
  if (!end.failure.ok()) return {IoAnswer::kFailed, 0};
  SLUICE_CHECK(!from.empty() && !end.ended, "a write of {} bytes, ended {}", from.size(),
               end.ended);
  if (!end.connected) return {IoAnswer::kNotYet, 0};
  const std::size_t room = room_towards(peer);
  if (room == 0) {
    end.wants_write = true;
    return {IoAnswer::kNotYet, 0};
  }
  const std::size_t count = shorten(std::min(room, from.size()));
  peer.flying.push(from.first(count));
  if (peer.next_burst == peer.bursts.size()) {
    peer.bursts.clear();
    peer.next_burst = 0;
  }
  peer.bursts.push_back({count, next_due(peer)});
  return {IoAnswer::kSome, count};
}

void SimPipe::end_writes(Side side) {
  if (ends_[side].ended) return;
  ends_[side].ended = true;
  next_due(ends_[other(side)]);
}

// As a kernel does it: bytes that nobody will read make a reset out of an orderly end, and a reset
// may overtake what was on the way.
void SimPipe::close(Side side) {
  End& end = ends_[side];
  if (!end.open) return;
  end.open = false;
  end_writes(side);
  if (end.arrived.size() == 0) return;
  end.arrived.clear();
  if (world_.chance(50)) ends_[other(side)].flying.clear();
  reset_soon(other(side));
}

void SimPipe::reset_soon(Side side) {
  End& end = ends_[side];
  if (end.reset_at != INT64_MAX) return;
  end.reset_at = world_.soon(world_.options().control_delay);
  world_.wake(id(), end.reset_at);
}

bool SimPipe::worth_asking(Side side) const {
  const End& end = ends_[side];
  if (!end.failure.ok() || end.tell_connected) return true;
  if (end.reading && (end.arrived.size() > 0 || end.end_came)) return true;
  return end.wants_write && room_towards(ends_[other(side)]) > 0;
}

void SimPipe::told(Side side) {
  End& end = ends_[side];
  end.tell_connected = false;
  if (room_towards(ends_[other(side)]) > 0) end.wants_write = false;
}

void SimPipe::try_to_connect() {
  End& end = ends_[kConnecting];
  End& peer = ends_[kAccepting];
  if (end.connected || !end.open || !end.failure.ok()) return;
  if (world_.now() < connect_at_ || !passes()) return;
  auto* backlog = world_.alive(peer.host)
                      ? dynamic_cast<SimBacklog*>(world_.find(world_.bound(peer.host, peer.port)))
                      : nullptr;
  if (backlog == nullptr) {
    end.failure = Status(StatusCode::kUnavailable,
                         fmt::format("connection to {} refused", name_of(kAccepting)));
    return;
  }
  end.connected = end.tell_connected = peer.connected = true;
  backlog->push(shared_from_this());
}

void SimPipe::move_bytes(Side to) {
  End& end = ends_[to];
  if (!passes()) return;
  while (end.next_burst < end.bursts.size() && end.flying.size() > 0 &&
         world_.now() >= end.bursts[end.next_burst].due) {
    end.flying.move_to(end.arrived, std::min(end.bursts[end.next_burst].bytes, end.flying.size()));
    ++end.next_burst;
  }
  if (!end.open && end.arrived.size() > 0) {
    end.arrived.clear();
    reset_soon(other(to));
  }
  if (ends_[other(to)].ended && end.flying.size() == 0 && world_.now() >= end.last_due) {
    end.end_came = true;
  }
  if (world_.now() >= end.reset_at && end.failure.ok()) {
    end.failure = Status(StatusCode::kPeerLost, "connection reset by the other end");
  }
}

void SimPipe::step() {
  for (const Side side : {kConnecting, kAccepting}) {
    if (world_.alive(ends_[side].host) || !ends_[side].open) continue;
    close(side);
    ends_[side].failure = Status(StatusCode::kClosed, "this host has been killed");
  }
  try_to_connect();
  move_bytes(kConnecting);
  move_bytes(kAccepting);
}

SimBacklog::~SimBacklog() {
  for (const auto& pipe : waiting_) pipe->close(SimPipe::kAccepting);
}

std::shared_ptr<SimPipe> SimBacklog::pop() {
  if (waiting_.empty()) return nullptr;
  auto pipe = std::move(waiting_.front());
  waiting_.erase(waiting_.begin());
  return pipe;
}

}  // namespace sluice::sim
