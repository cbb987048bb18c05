// The one-sided transfers of a run of EngineSim: what is asked for, and what must come of it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "src/base/check.h"
#include "tests/sim_net/engine_sim.h"

namespace sluice::sim {
namespace {

constexpr std::size_t kLeastGpuBlock = 64;
constexpr std::size_t kMostBlocks = 200;
// Where in an export the highest bytes of its length, and its access, stand.
constexpr std::size_t kLengthByte = 15;
constexpr std::size_t kAccessByte = 29;

}  // namespace

// ---- What is asked for.

void EngineSim::plan_reaches() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (i == j && !nodes_[i].pairs[i].known) continue;
      nodes_[i].pairs[j].reaches_left =
          crowd_ ? 20 + draw(120 / nodes_.size()) : draw(24 / nodes_.size());
    }
  }
}

void EngineSim::export_regions(Node& node) {
  const auto exported = [&](RegionId region, Access access) {
    return *node.engine->export_region(region, access);
  };
  const auto set = [&](Handle handle, std::string bytes) {
    node.exports[static_cast<std::size_t>(handle)] = std::move(bytes);
  };
  const std::string good = exported(node.region, Access::kReadWrite);
  const std::string readable = exported(node.region, Access::kRead);
  std::string forged = readable;
  forged[kAccessByte] = static_cast<char>(Access::kReadWrite);
  std::string longer = good;
  longer[kLengthByte] = 127;
  set(Handle::kGood, good);
  set(Handle::kAlso, exported(node.also, Access::kReadWrite));
  set(Handle::kReadable, readable);
  set(Handle::kWritable, exported(node.region, Access::kWrite));
  set(Handle::kDoomed, exported(node.doomed, Access::kReadWrite));
  set(Handle::kForged, forged);
  set(Handle::kLonger, longer);
  set(Handle::kForgotten, good);
}

// Of what the peer has exported. Imported the first time, which may be before the peer is there.
Result<RemoteRegionId> EngineSim::handle_of(std::size_t index, std::size_t peer, Handle handle) {
  Node& node = nodes_[index];
  RemoteRegionId& known = node.pairs[peer].handles[static_cast<std::size_t>(handle)];
  if (known != RemoteRegionId{}) return known;
  const std::string& bytes = handle == Handle::kStale
                                 ? stale_exports_[static_cast<std::size_t>(Handle::kGood)]
                                 : nodes_[peer].exports[static_cast<std::size_t>(handle)];
  auto imported = node.engine->import_region(node.pairs[peer].peer, bytes);
  if (!imported.ok()) return imported;
  if (handle == Handle::kForgotten) {
    if (!node.engine->forget_region(*imported).ok()) violation("a region cannot be forgotten");
  }
  return known = *imported;
}

EngineSim::Handle EngineSim::draw_handle(std::size_t index, std::size_t peer, Op op) {
  if (op == Op::kNotify) return Handle::kGood;
  switch (draw(9)) {
    case 0:
      return op == Op::kRead ? Handle::kReadable : Handle::kWritable;
    case 1:
    case 2:
      return Handle::kDoomed;
    case 3:
      break;
    default:
      return Handle::kGood;
  }
  switch (draw(5)) {
    case 0:
      return op == Op::kRead ? Handle::kWritable : Handle::kReadable;
    case 1:
      return Handle::kForged;
    case 2:
      return Handle::kLonger;
    case 3:
      return Handle::kForgotten;
    default:
      return life_of(index, peer) > 0 && index != victim_ ? Handle::kStale : Handle::kForged;
  }
}

// Slices of `least` bytes or more each, of equal or unequal length, dense or not, in any order.
EngineSim::Window EngineSim::draw_window(Node& node, std::size_t bytes, std::size_t least) {
  Window window;
  const std::size_t most = std::max<std::size_t>(1, std::min(kMostBlocks, bytes / least));
  const std::size_t few = std::min<std::size_t>(most, 8);
  const std::size_t count = draw(2) == 0 ? 1 : 1 + draw(draw(2) == 0 ? few : most);
  const bool equal = draw(2) == 0;
  std::size_t left = bytes;
  for (std::size_t behind = count; behind-- > 0;) {
    const std::size_t most_here = left - std::min(left, behind * least);
    const std::size_t least_here = std::min(least, most_here);
    std::size_t length = equal ? bytes / count : least_here + draw(most_here - least_here + 1);
    if (behind == 0) length = left;
    window.pieces.push_back({0, length});
    left -= length;
  }
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  if (draw(2) == 0) {
    for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[draw(i)]);
  }
  const std::size_t gap = draw(2) == 0 ? 0 : draw(40);
  for (const std::size_t i : order) {
    window.pieces[i].offset = window.length;
    window.length += window.pieces[i].length + gap;
  }
  window.offset = allocate(node, window.length);
  for (Piece& piece : window.pieces) piece.offset += window.offset;
  return window;
}

EngineSim::Reach EngineSim::draw_reach(std::size_t index, std::size_t peer) {
  Reach reach;
  reach.op = static_cast<Op>(draw(20) < 18 ? draw(2) : 2);
  reach.handle = draw_handle(index, peer, reach.op);
  reach.initiator = index;
  reach.target = peer;
  reach.life = life_of(index, peer);
  reach.number = nodes_[index].pairs[peer].reaches_asked;
  if (reach.op != Op::kNotify) {
    reach.bytes = draw(crowd_ ? 2000 : 3) > 0 ? draw(4000) : draw_size();
    if (reach.bytes > reach_budget_) reach.bytes %= 4000;
    if (draw(20) == 0) reach.bytes = 0;
    if (reach.handle == Handle::kLonger) ++reach.bytes;
    const std::optional<Reach>& before = nodes_[index].pairs[peer].repeated;
    reach.repeats = reach.op == Op::kRead && reach.handle == Handle::kGood && draw(4) > 0;
    const bool again = reach.repeats && before.has_value() && before->life == reach.life &&
                       before->bytes <= reach_budget_ && draw(8) > 0;
    if (again) reach.bytes = before->bytes;
    reach_budget_ -= std::min(reach_budget_, reach.bytes);
    reach.source = again ? before->source : draw(kNoiseBytes - reach.bytes);
    const bool gpu = nodes_[index].kind == Memory::kCuda || nodes_[peer].kind == Memory::kCuda;
    const std::size_t least = gpu ? kLeastGpuBlock : 1;
    reach.here = draw_window(nodes_[index], reach.bytes, least);
    reach.there = again ? before->there : draw_window(nodes_[peer], reach.bytes, least);
  }
  if (reach.op != Op::kNotify && draw(3) == 0) reach.priority = Priority::kUrgent;
  reach.to_be_cancelled = draw(5) == 0;
  if (draw(8) == 0) {
    static constexpr std::array<std::uint64_t, 3> kLongest{100, 5'000, 100'000};
    reach.deadline = from_us(static_cast<std::int64_t>(1 + draw(kLongest[draw(3)])));
  }
  reach.notifies = reach.op == Op::kNotify || draw(3) == 0;
  if (reach.notifies) {
    reach.notification_bytes = 4 + draw(draw(4) > 0 ? 100 : draw(6) > 0 ? 5'000 : 200'000);
    const bool certain = !reach.to_be_cancelled && reach.deadline == 0 && fault_ != Fault::kLie &&
                         (reach.handle == Handle::kGood || reach.handle == Handle::kAlso);
    const bool urgent = reach.priority == Priority::kUrgent;
    if (certain && !urgent && draw(6) == 0) reach.notification_bytes = 0;
  }
  if (reach.op == Op::kNotify) reach.deadline = 0;
  if (reach.handle == Handle::kForged) reach.refusal = StatusCode::kDenied;
  if (reach.handle == Handle::kLonger) reach.refusal = StatusCode::kInvalidArgument;
  if (reach.handle == Handle::kStale) reach.refusal = StatusCode::kNotFound;
  if (reach.handle == Handle::kDoomed) {
    reach.refusal = StatusCode::kNotFound;
    reach.may_pass = !nodes_[peer].doomed_gone;
  }
  return reach;
}

// By the initiator's own engine.
StatusCode EngineSim::refused_at_once(const Reach& reach) const {
  if (reach.handle == Handle::kForgotten) return StatusCode::kNotFound;
  const bool denied = (reach.handle == Handle::kReadable && reach.op == Op::kWrite) ||
                      (reach.handle == Handle::kWritable && reach.op == Op::kRead);
  return denied ? StatusCode::kDenied : StatusCode::kOk;
}

std::string EngineSim::notification_of(const Reach& reach) const {
  std::string text(reach.notification_bytes, '\0');
  if (text.empty()) return text;
  const auto number = static_cast<std::uint32_t>(reach.number);
  std::memcpy(text.data(), &number, sizeof(number));
  for (std::size_t i = sizeof(number); i < text.size(); ++i) {
    text[i] = static_cast<char>(reach.number * 31 + i);
  }
  return text;
}

void EngineSim::fill(Node& node, const Window& window, std::size_t source) {
  for (const Piece& piece : window.pieces) {
    std::memcpy(node.memory.data() + piece.offset, arena_.noise.data() + source, piece.length);
    source += piece.length;
  }
}

Result<TransferId> EngineSim::ask(const Reach& reach, RemoteRegionId remote, RemoteRegionId also) {
  Node& node = nodes_[reach.initiator];
  const std::string text = notification_of(reach);
  const auto notification = std::as_bytes(std::span(text.data(), text.size()));
  const PeerId peer = node.pairs[reach.target].peer;
  if (reach.op == Op::kNotify) return node.engine->notify(peer, notification);
  std::vector<Slice> here;
  std::vector<RemoteSlice> there;
  for (const Piece& piece : reach.here.pieces) {
    here.push_back({draw(3) == 0 ? node.also : node.region, piece.offset, piece.length});
  }
  const std::size_t behind = reach.handle == Handle::kLonger ? kNodeBytes : 0;
  for (const Piece& piece : reach.there.pieces) {
    there.push_back(
        {!reach.repeats && draw(3) == 0 ? also : remote, piece.offset + behind, piece.length});
  }
  TransferOptions options;
  options.priority = reach.priority;
  if (reach.notifies) options.notification = notification;
  if (reach.deadline > 0) options.deadline = std::chrono::microseconds(reach.deadline / 1000);
  return reach.op == Op::kWrite ? node.engine->write(peer, here, there, options)
                                : node.engine->read(peer, here, there, options);
}

void EngineSim::ask_reach(std::size_t index, std::size_t peer) {
  Node& node = nodes_[index];
  Node& target = nodes_[peer];
  Pair& pair = node.pairs[peer];
  if (pair.reaches_left == 0) return;
  const std::size_t used_here = node.used;
  const std::size_t used_there = target.used;
  const std::size_t budget = reach_budget_;
  Reach reach = draw_reach(index, peer);
  const auto remote = handle_of(index, peer, reach.handle);
  const auto also = reach.handle == Handle::kGood ? handle_of(index, peer, Handle::kAlso) : remote;
  StatusCode due = refused_at_once(reach);
  Result<TransferId> id = Status(StatusCode::kNotFound, "not imported");
  if (remote.ok() && also.ok()) {
    fill(reach.op == Op::kWrite ? node : target, reach.op == Op::kWrite ? reach.here : reach.there,
         reach.source);
    id = ask(reach, *remote, *also);
  } else if (reach.handle == Handle::kStale) {
    due = StatusCode::kNotFound;
  }
  if (id.ok() && due == StatusCode::kOk) {
    reach.id = *id;
    if (reach.deadline > 0) reach.deadline += world_->now();
    if (reach.repeats) pair.repeated = reach;
    node.reaches.push_back(std::move(reach));
    ++node.incomplete;
    ++pair.reaches_asked;
    --pair.reaches_left;
    return;
  }
  const StatusCode code = id.ok() ? StatusCode::kOk : id.status().code();
  const bool full = code == StatusCode::kWouldBlock;
  if (code != due && !full && !may_fail(index, peer)) {
    violation(fmt::format("{}: asked for with {} instead of {}", name_of(reach),
                          id.ok() ? "OK" : id.status().to_string(), to_string(due)));
  }
  if (!full) --pair.reaches_left;
  node.used = used_here;
  target.used = used_there;
  reach_budget_ = budget;
}

// ---- What is done to them.

void EngineSim::maybe_cancel(std::size_t index) {
  Node& node = nodes_[index];
  if (draw(4) > 0) return;
  for (Reach& reach : node.reaches) {
    if (!reach.to_be_cancelled || reach.cancelled || reach.complete || reach.forgotten) continue;
    if (draw(6) > 0) continue;
    const Status status = node.engine->cancel(reach.id);
    reach.cancelled = true;
    if (!status.ok() && status.code() != StatusCode::kNotFound) {
      violation(name_of(reach) + ": cancel(): " + status.to_string());
    }
  }
}

// From then on no byte may come where the writes go that name the region.
void EngineSim::maybe_deregister(std::size_t index) {
  Node& node = nodes_[index];
  if (node.doomed_gone || draw(100) > 0) return;
  const Status status = node.engine->deregister(node.doomed);
  if (status.code() == StatusCode::kWouldBlock) return;
  if (!status.ok()) violation("deregister: " + status.to_string());
  node.doomed_gone = true;
  for (Node& initiator : nodes_) {
    for (Reach& reach : initiator.reaches) {
      const bool of_it = reach.target == index && reach.handle == Handle::kDoomed &&
                         reach.life == life_of(reach.initiator, index) && !reach.forgotten;
      if (!of_it) continue;
      reach.frozen = true;
      reach.digest_there = digest(node, reach.there.offset, reach.there.length);
    }
  }
}

// ---- Notifications.

void EngineSim::poll_notifications(std::size_t index) {
  std::array<Notification, 2> heard;
  for (std::size_t count; (count = nodes_[index].engine->poll_notifications(heard)) > 0;) {
    for (std::size_t i = 0; i < count; ++i) take_notification(index, heard[i]);
  }
}

EngineSim::Reach* EngineSim::told_reach(std::size_t index, const Notification& notification) {
  const auto met = std::ranges::find(nodes_[index].met, notification.peer, &Acquaintance::id);
  if (met == nodes_[index].met.end()) return nullptr;
  auto& behind = nodes_[index].pairs[met->node].told[met->life];
  const bool may_fail = this->may_fail(met->node, index, met->life);
  std::uint32_t number = 0;
  const bool empty = notification.bytes.empty();
  if (!empty) std::memcpy(&number, notification.bytes.data(), sizeof(number));
  for (Reach& reach : nodes_[met->node].reaches) {
    if (reach.target != index || reach.life != met->life || !reach.notifies) continue;
    if (reach.forgotten != (reach.initiator == victim_ && met->life < life_of(index, met->node))) {
      continue;
    }
    std::size_t& next = behind[static_cast<std::size_t>(reach.priority)];
    const bool fits = empty ? reach.number >= next && reach.notification_bytes == 0 &&
                                  (!reach.complete || reach.status.ok() || may_fail)
                            : reach.number == number;
    if (!fits) continue;
    if (reach.number < next) violation(name_of(reach) + ": told twice or out of order");
    next = reach.number + 1;
    return &reach;
  }
  return nullptr;
}

void EngineSim::take_notification(std::size_t index, const Notification& notification) {
  Reach* const reach = told_reach(index, notification);
  if (reach == nullptr) {
    violation(fmt::format("e{}: a notification of {} bytes that nobody gave", index,
                          notification.bytes.size()));
    return;
  }
  if (reach->told) violation(name_of(*reach) + ": told twice");
  if (notification.bytes != notification_of(*reach)) {
    violation(name_of(*reach) + ": told something else");
  }
  reach->told = true;
  ++tally_.told;
  check_data(*reach, "when told");
  if (!reach->complete || reach->status.ok()) return;
  if (!may_fail(reach->initiator, reach->target, reach->life)) {
    violation(name_of(*reach) + ": told although it ended with " + reach->status.to_string());
  }
}

// By an engine that is there to one that is there.
bool EngineSim::notification_owed(const Reach& reach) const {
  return reach.notifies && reach.complete && reach.status.ok() && !reach.told &&
         !may_fail(reach.initiator, reach.target, reach.life);
}

}  // namespace sluice::sim
