#include "src/engine/requester.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

constexpr int kKeptSlots = 8;            // For urgent transfers.
constexpr std::uint64_t kKeptShare = 8;  // And one part in so many of the payload bytes.

Status out_of_order(const char* frame, std::uint16_t slot) {
  return {StatusCode::kProtocol, fmt::format("a {} for slot {}, which awaits none", frame, slot)};
}

wire::Operation operation_of(const Transfer& transfer) {
  if (transfer.direction == Direction::kRead) return wire::Operation::kRead;
  const bool moves = transfer.length > 0 || transfer.layout->remote_regions > 0;
  return moves || !transfer.layout->notifies ? wire::Operation::kWrite : wire::Operation::kNotify;
}

}  // namespace

Requester::Requester(const Context& context, Outbound& outbound)
    : context_(context),
      outbound_(outbound),
      waiting_first_(context.transfers),
      waiting_(context.transfers) {}

void Requester::enqueue(std::uint64_t id) {
  const Transfer& transfer = *context_.transfers.find(id);
  if (transfer.deadline != 0) next_deadline_ = std::min(next_deadline_, transfer.deadline);
  (transfer.priority == Priority::kUrgent ? waiting_first_ : waiting_).push(id);
}

void Requester::cancel(std::uint64_t id, const Status& why) {
  if (waiting_first_.remove(id) || waiting_.remove(id)) {
    context_.transfers.complete(id, 0, why);
    return;
  }
  const auto found = std::ranges::find(entries_, id, &Entry::transfer);
  if (found == entries_.end()) return;
  // What has its last word, or waits for nothing else, ends by itself.
  const bool ends = found->state == State::kLanded || found->state == State::kGot ||
                    found->state == State::kAborting || found->state == State::kAborted ||
                    (found->state == State::kAsked && found->carries_data);
  if (ends) return;
  outbound_.recall(id);
  if (found->state == State::kSending && found->keeps_list) told_.withdrawn(found->list_id);
  found->why = why;
  found->state = State::kAborting;
}

// Looks at all that wait or are under way: only when some deadline has passed.
void Requester::expire(Nanoseconds now) {
  if (now < next_deadline_) return;
  next_deadline_ = INT64_MAX;
  for (const Entry& entry : entries_) {
    if (entry.transfer != 0) expire(now, entry.transfer);
  }
  for (const TransferQueue* waiting : {&waiting_first_, &waiting_}) {
    for (std::uint64_t id = waiting->front(); id != 0;) {
      const std::uint64_t next = context_.transfers.find(id)->next;
      expire(now, id);
      id = next;
    }
  }
}

void Requester::expire(Nanoseconds now, std::uint64_t id) {
  static const Status too_late(StatusCode::kTimedOut, "its deadline has passed");
  const Nanoseconds deadline = context_.transfers.find(id)->deadline;
  if (deadline == 0) return;
  if (now >= deadline) {
    cancel(id, too_late);
  } else {
    next_deadline_ = std::min(next_deadline_, deadline);
  }
}

Status Requester::on_granted(const wire::Granted& granted) {
  Entry& entry = entries_[granted.slot];
  if (entry.state == State::kAborting) return {};
  if (entry.state != State::kAsked || entry.carries_data || !entry.writes) {
    return out_of_order("Granted", granted.slot);
  }
  entry.granted_chunk_bytes = granted.chunk_bytes;
  entry.state = State::kGranted;
  return {};
}

Status Requester::on_denied(const wire::Denied& denied) {
  Entry& entry = entries_[denied.slot];
  const bool asked = entry.state == State::kAsked;
  const bool crossed = entry.state == State::kAborting && untouched(entry);
  if (denied.code == StatusCode::kCorrupted && may_have_landed(entry)) {
    entry.notifies = false;
    land(entry, {denied.code, fmt::format("at the target: {}", printable(denied.reason))});
    return {};
  }
  if (!asked && !crossed) return out_of_order("Denied", denied.slot);
  entry.notifies = false;
  end(entry, {denied.code, fmt::format("refused by the target: {}", printable(denied.reason))});
  return {};
}

Status Requester::on_landed(const wire::Slot& landed) {
  Entry& entry = entries_[landed.slot];
  if (entry.state == State::kAborting && entry.transfer == 0 && entry.writes) {
    end(entry, {});  // Of the slot: the transfer has been given up before.
    return {};
  }
  const bool carried = entry.writes && entry.state == State::kAsked && entry.carries_data;
  if (!carried && !may_have_landed(entry)) return out_of_order("Landed", landed.slot);
  land(entry, {});
  return {};
}

// A write, all of which has been announced to the target.
bool Requester::may_have_landed(const Entry& entry) const {
  const bool moves = entry.state == State::kMoving || entry.state == State::kAborting;
  if (!entry.writes || !moves || entry.transfer == 0) return false;
  const Transfer& transfer = *context_.transfers.find(entry.transfer);
  return transfer.chunks > 0 && transfer.announced == transfer.chunks && transfer.checked();
}

// The target has all it will have; the Net may still have to report it.
void Requester::land(Entry& entry, const Status& status) {
  entry.state = State::kLanded;
  entry.why = status;
  if (context_.transfers.find(entry.transfer)->in_net == 0) end(entry, status);
}

Status Requester::on_answer(const wire::SlotBytes& answer) {
  Entry& entry = entries_[answer.slot];
  if (entry.state == State::kAborting && !entry.writes) return {};  // Nobody waits for it.
  if (entry.state != State::kAsked || entry.writes) return out_of_order("Answer", answer.slot);
  const Transfer& transfer = *context_.transfers.find(entry.transfer);
  if (answer.bytes.size() != transfer.length || (transfer.length > 0 && !transfer.on_host)) {
    return out_of_order("Answer", answer.slot);
  }
  scatter({nullptr, nullptr, transfer.layout, {}, transfer.length}, 0, answer.bytes);
  entry.state = State::kGot;
  return {};
}

Status Requester::on_released(const wire::Slot& released) {
  Entry& entry = entries_[released.slot];
  if (entry.state == State::kLanded && entry.notifies) {  // The Net is slower than the user there.
    entry.notifies = false;
    return {};
  }
  if (entry.state != State::kReleasing) return out_of_order("Released", released.slot);
  free(entry);
  return {};
}

Status Requester::on_aborted(const wire::Slot& aborted) {
  Entry& entry = entries_[aborted.slot];
  if (entry.state != State::kAborting || !entry.abort_told) {
    return out_of_order("Aborted", aborted.slot);
  }
  entry.notifies = false;
  entry.state = State::kAborted;
  if (entry.transfer == 0) end(entry, {});
  return {};
}

Requester::Reading Requester::reading(std::uint64_t slot) {
  if (slot >= entries_.size() || entries_[slot].writes) return {};
  Entry& entry = entries_[slot];
  if (entry.state == State::kAborting) return {0, true};
  if (entry.state != State::kAsked && entry.state != State::kMoving) return {};
  entry.state = State::kMoving;
  return {entry.transfer, false};
}

void Requester::advance(FrameStream& link, const PeerLimits& limits, std::size_t& steps) {
  if (next_deadline_ != INT64_MAX) expire(context_.clock.now());
  // While an urgent one waits for room in the control connection, no other takes it.
  if (!advance(waiting_first_, used_ & urgent_, link, limits, steps)) return;
  advance(waiting_, used_ & ~urgent_, link, limits, steps);
}

bool Requester::advance(TransferQueue& waiting, std::uint64_t slots, FrameStream& link,
                        const PeerLimits& limits, std::size_t& steps) {
  for (std::uint64_t left = slots; left != 0; left &= left - 1) {
    if (step(static_cast<std::uint16_t>(std::countr_zero(left)), link, limits)) ++steps;
  }
  return start_waiting(waiting, link, limits, steps);
}

// False: nothing to do, or the control connection is full.
bool Requester::step(std::uint16_t slot, FrameStream& link, const PeerLimits& limits) {
  Entry& entry = entries_[slot];
  if (entry.state == State::kSending) return send_part(slot, link);
  if (entry.state == State::kAborting || entry.state == State::kAborted) {
    return step_aborting(slot, entry, link);
  }
  if (entry.state == State::kGranted) {
    if (!outbound_.launch(link, limits, entry.transfer, entry.granted_chunk_bytes)) return false;
    entry.state = State::kMoving;
    return true;
  }
  if (entry.state != State::kMoving && entry.state != State::kLanded &&
      entry.state != State::kGot) {
    return false;
  }
  const Transfer& transfer = *context_.transfers.find(entry.transfer);
  if (entry.state == State::kLanded) {
    if (transfer.in_net > 0) return false;
    end(entry, Status(entry.why));
    return true;
  }
  if (entry.writes) return false;
  if (entry.state == State::kMoving && transfer.check.differs) {
    entry.why = transfer.compare();
    SLUICE_LOG(kWarning, "engine", "read in slot {}: {}", slot, entry.why.message());
    entry.state = State::kAborting;
    return step_aborting(slot, entry, link);
  }
  if (entry.state == State::kMoving && !transfer.moved()) return false;
  entry.state = State::kGot;
  if (!link.room_for(2)) return false;
  link.queue(wire::FrameType::kGot, wire::Slot{slot});
  end(entry, {});
  return true;
}

// Its memory is free when the Net has let go of it and what was announced for it has come, of a
// write at the target, which says so in its last word; the slot when that has been said.
bool Requester::step_aborting(std::uint16_t slot, Entry& entry, FrameStream& link) {
  bool worked = false;
  if (!entry.abort_told && link.room_for(2 + 3 + entry.why.message().size())) {
    link.queue(wire::FrameType::kAbort, wire::Denied{slot, entry.why.code(), entry.why.message()});
    entry.abort_told = worked = true;
  }
  if (entry.transfer == 0) return worked;
  const Transfer& transfer = *context_.transfers.find(entry.transfer);
  const bool coming = entry.writes ? transfer.announced > 0 && entry.state == State::kAborting
                                   : transfer.finished < transfer.announced;
  if (transfer.in_net > 0 || coming) return worked;
  context_.transfers.complete(std::exchange(entry.transfer, 0), 0, entry.why);
  if (entry.state == State::kAborted) end(entry, {});
  return true;
}

bool Requester::untouched(const Entry& entry) const {
  return entry.transfer == 0 || context_.transfers.find(entry.transfer)->announced == 0;
}

bool Requester::send_part(std::uint16_t slot, FrameStream& link) {
  Entry& entry = entries_[slot];
  const std::span<const std::byte> payload =
      context_.transfers.find(entry.transfer)->layout->payload;
  bool worked = false;
  while (entry.sent < payload.size()) {
    const std::size_t bytes = std::min(payload.size() - entry.sent, wire::kMostPartBytes);
    if (!link.room_for(2 + bytes)) return worked;
    link.queue(wire::FrameType::kPart, wire::SlotBytes{slot, payload.subspan(entry.sent, bytes)});
    entry.sent += bytes;
    worked = true;
  }
  entry.state = State::kAsked;
  if (entry.keeps_list) told_.sent(entry.list_id);
  return true;
}

bool Requester::room_for(std::uint64_t payload, const PeerLimits& limits, bool kept) const {
  const int slots = static_cast<int>(wire::kMostSlots) - (kept ? 0 : kKeptSlots);
  // The only one of its kind may be as long as the target takes, or it would wait for ever.
  const bool all = kept || (used_ & ~urgent_) == 0;
  const std::uint64_t most = limits.request_bytes - (all ? 0 : limits.request_bytes / kKeptShare);
  return std::popcount(used_) < slots && held_ + payload <= most;
}

bool Requester::start_waiting(TransferQueue& waiting, FrameStream& link, const PeerLimits& limits,
                              std::size_t& steps) {
  while (!waiting.empty()) {
    const std::uint64_t id = waiting.front();
    const Transfer& transfer = *context_.transfers.find(id);
    const std::uint64_t payload = transfer.layout->payload.size();
    const std::uint64_t generation = transfer.layout->remote_generation;
    if (generation != 0 && generation != limits.generation) {  // Asked for while it was joining.
      waiting.pop();
      context_.transfers.complete(id, 0, stale_export());
      continue;
    }
    if (payload > limits.request_bytes) {
      waiting.pop();
      context_.transfers.complete(
          id, 0,
          {StatusCode::kInvalidArgument,
           fmt::format("its block list and notification take {} bytes, the peer takes {} "
                       "(request_bytes)",
                       payload, limits.request_bytes)});
      continue;
    }
    if (!room_for(payload, limits, transfer.priority == Priority::kUrgent)) return true;
    if (!start(link, limits, id, static_cast<std::uint16_t>(std::countr_one(used_)))) return false;
    waiting.pop();
    ++steps;
  }
  return true;
}

std::uint64_t Requester::small_bytes(const PeerLimits& limits) const {
  return std::min<std::uint64_t>(context_.options.small_bytes, limits.small_bytes);
}

namespace {

// Of a spread place, into the frame.
struct RequestWithData {
  const wire::Request& request;
  const Transfer& transfer;

  void encode(ByteWriter& out) const {
    request.encode(out);
    BlockWalk walk(transfer.layout->list);
    for (Block piece; walk.next(UINT64_MAX, piece);) {
      out.bytes({transfer.layout->regions[piece.region].base + piece.offset, piece.length});
    }
  }
};

}  // namespace

// False: the control connection is full; again in a later pass.
bool Requester::start(FrameStream& link, const PeerLimits& limits, std::uint64_t id,
                      std::uint16_t slot) {
  Transfer& transfer = *context_.transfers.find(id);
  Layout& layout = *transfer.layout;
  const bool writes = transfer.direction == Direction::kWrite;
  const bool urgent = transfer.priority == Priority::kUrgent;
  const bool empty = transfer.length == 0;
  const bool small = empty || (transfer.length <= small_bytes(limits) && transfer.on_host);
  const ToldLists::Choice list = told_.choose(layout.remote_list(), limits.kept_list_bytes);
  const bool keeps = list.telling == ToldLists::Telling::kKeep;
  const bool names = list.telling == ToldLists::Telling::kName;
  const std::size_t payload = layout.payload.size() - (names ? layout.remote_list_bytes : 0);
  wire::Request request;
  request.slot = slot;
  request.operation = operation_of(transfer);
  const bool data = request.operation == wire::Operation::kWrite && small &&
                    (empty || layout.remote_on_host) && payload <= wire::kMostInlinePayload;
  request.flags = static_cast<std::uint8_t>(
      (layout.notifies ? wire::Request::kNotifies : 0) | (data ? wire::Request::kCarriesData : 0) |
      (!writes && small ? wire::Request::kTakesData : 0) | (urgent ? wire::Request::kUrgent : 0) |
      (keeps ? wire::Request::kKeepsList : 0) | (names ? wire::Request::kNamesList : 0));
  request.bytes = transfer.length;
  request.chunk_bytes = writes ? 0 : context_.chunk_bytes;
  const std::size_t first = std::min(payload, wire::kMostPartBytes);
  if (!link.room_for(wire::Request::kFixedBytes + first + request.data_bytes())) {
    if (keeps) told_.withdrawn(list.id);
    return false;
  }
  if (names) layout.drop_remote_list();
  request.regions = layout.remote_regions;
  request.list_id = list.id;
  request.list_bytes = layout.remote_list_bytes;
  request.notification_bytes = layout.notification_bytes;
  request.payload = std::span(layout.payload).first(first);
  if (data) {
    link.queue(wire::FrameType::kRequest, RequestWithData{request, transfer});
  } else {
    link.queue(wire::FrameType::kRequest, request);
  }
  transfer.sequence = slot;
  Entry& entry = entries_[slot];
  entry.state = first < payload ? State::kSending : State::kAsked;
  entry.writes = writes;
  entry.notifies = layout.notifies;
  // What moves no bytes over channels has landed with its request.
  entry.carries_data = writes && (data || empty);
  entry.keeps_list = keeps;
  entry.list_id = list.id;
  entry.transfer = id;
  entry.payload_bytes = payload;
  entry.sent = first;
  used_ |= 1ull << slot;
  if (urgent) urgent_ |= 1ull << slot;
  held_ += payload;
  if (keeps && first == payload) told_.sent(list.id);
  return true;
}

// The target has said its last word but Released.
void Requester::end(Entry& entry, const Status& status) {
  if (const std::uint64_t id = std::exchange(entry.transfer, 0); id != 0) {
    const std::uint64_t bytes = context_.transfers.find(id)->length;
    context_.transfers.complete(id, status.ok() ? bytes : 0, status);
  }
  if (entry.notifies) {
    entry.state = State::kReleasing;
  } else {
    free(entry);
  }
}

void Requester::free(Entry& entry) {
  held_ -= entry.payload_bytes;
  used_ &= ~(1ull << (&entry - entries_.data()));
  urgent_ &= used_;
  entry = {};
}

}  // namespace sluice
