#include "src/engine/server.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

Status protocol_error(std::string message) { return {StatusCode::kProtocol, std::move(message)}; }

Status out_of_order(const char* frame, std::uint16_t slot) {
  return protocol_error(fmt::format("a {} for slot {}, which awaits none", frame, slot));
}

}  // namespace

Server::Server(const Context& context, std::uint64_t peer, Outbound& outbound)
    : context_(context), peer_(peer), outbound_(outbound) {
  notify_first_.reserve(wire::kMostSlots);
  notify_.reserve(wire::kMostSlots);
}

Status Server::on_request(const wire::Request& request) {
  Entry& entry = entries_[request.slot];
  const std::uint64_t payload_bytes = request.payload_bytes();
  if (entry.state != State::kFree) return out_of_order("Request", request.slot);
  if (payload_bytes > context_.options.request_bytes - held_) {
    return protocol_error(fmt::format(
        "a Request with {} bytes of payload where {} are left of {} (request_bytes)", payload_bytes,
        context_.options.request_bytes - held_, context_.options.request_bytes));
  }
  held_ += payload_bytes;
  used_ |= 1ull << request.slot;
  entry.state = State::kReceiving;
  entry.request = request;
  entry.request.payload = {};
  if (Status status = find_list(entry); !status.ok()) return status;
  if (urgent(entry)) urgent_ |= 1ull << request.slot;
  if (notifies(entry)) notify_of(entry).push_back(request.slot);
  const auto head = request.payload.first(request.payload.size() - request.data_bytes());
  entry.payload.reserve(payload_bytes);
  entry.payload.assign(head.begin(), head.end());
  if (entry.payload.size() < payload_bytes) return {};
  return accept(entry, request.payload.subspan(head.size()));
}

Status Server::on_part(const wire::SlotBytes& part) {
  Entry& entry = entries_[part.slot];
  if (entry.state != State::kReceiving || part.bytes.empty() ||
      part.bytes.size() > entry.request.payload_bytes() - entry.payload.size()) {
    return out_of_order("Part", part.slot);
  }
  entry.payload.insert(entry.payload.end(), part.bytes.begin(), part.bytes.end());
  if (entry.payload.size() < entry.request.payload_bytes()) return {};
  return accept(entry, {});
}

Status Server::on_got(const wire::Slot& got) {
  Entry& entry = entries_[got.slot];
  if (entry.state == State::kMoving && entry.request.operation == wire::Operation::kRead) {
    Transfer& read = *context_.transfers.find(entry.transfer);
    if (read.announced < read.chunks || !read.checked()) return out_of_order("Got", got.slot);
    read.answered = true;  // The Net may still have to report what the reader has already.
    if (read.in_net == 0) context_.transfers.complete(entry.transfer, read.length, {});
  } else if (entry.state != State::kAnswered) {
    return out_of_order("Got", got.slot);
  }
  data_there(entry);
  return {};
}

// Too late for a slot that has, or is about to have, our last word; that ends the transfer there.
Status Server::on_abort(const wire::Denied& abort) {
  Entry& entry = entries_[abort.slot];
  if (entry.state != State::kReceiving && entry.state != State::kChecking &&
      entry.state != State::kGranting && entry.state != State::kAnswering &&
      entry.state != State::kLaunching && entry.state != State::kMoving &&
      entry.state != State::kAnswered) {
    return {};
  }
  if (abort.code == StatusCode::kCorrupted) {
    SLUICE_LOG(kWarning, "engine", "peer {} slot {} read: {}", peer_, abort.slot,
               printable(abort.reason));
  } else {
    SLUICE_LOG(kInfo, "engine", "peer {} slot {} aborted by it: {}: {}", peer_, abort.slot,
               to_string(abort.code), printable(abort.reason));
  }
  if (notifies(entry)) std::erase(notify_of(entry), abort.slot);
  entry.request.flags = 0;
  entry.state = State::kAborting;
  if (entry.transfer == 0 || entry.request.operation != wire::Operation::kRead) return {};
  outbound_.recall(entry.transfer);  // The Net may still have chunks of it; the slot needs it not.
  Transfer& read = *context_.transfers.find(entry.transfer);
  read.answered = true;
  if (read.in_net == 0) context_.transfers.complete(entry.transfer, 0, {});
  entry.transfer = 0;
  return {};
}

std::uint64_t Server::writing(std::uint64_t slot) {
  if (slot >= entries_.size()) return 0;
  const Entry& entry = entries_[slot];
  const bool awaits =
      entry.state == State::kMoving && entry.request.operation == wire::Operation::kWrite;
  return awaits ? entry.transfer : 0;
}

// At once: by the time that the rest of its payload is here, its id may stand for another.
Status Server::find_list(Entry& entry) {
  const wire::Request& request = entry.request;
  if ((request.flags & wire::Request::kKeepsList) != 0 &&
      request.list_bytes > context_.options.kept_list_bytes) {
    return protocol_error(
        fmt::format("a list of blocks of {} bytes to be kept, {} is the longest (kept_list_bytes)",
                    request.list_bytes, context_.options.kept_list_bytes));
  }
  if ((request.flags & wire::Request::kNamesList) == 0) return {};
  entry.list = kept_.find(request.list_id);
  if (entry.list != nullptr) return {};
  return protocol_error(
      fmt::format("a Request names list of blocks {}, which was not kept", request.list_id));
}

// Once, when the whole payload is here.
void Server::keep_list(Entry& entry) {
  wire::Request& request = entry.request;
  if ((request.flags & wire::Request::kKeepsList) == 0) return;
  request.flags &= static_cast<std::uint8_t>(~wire::Request::kKeepsList);
  const std::size_t refs = request.regions * wire::RegionRef::kBytes;
  kept_.keep(request.list_id, std::span(entry.payload).subspan(refs, request.list_bytes));
}

// The whole payload is here. Not OK: the initiator broke the protocol.
Status Server::accept(Entry& entry, std::span<const std::byte> data) {
  keep_list(entry);
  if (entry.request.operation == wire::Operation::kNotify) {
    entry.state = State::kLanded;
    return {};
  }
  Layout& layout = context_.transfers.take_layout();
  Status denial;
  Status status = check(entry, layout, denial);
  if (status.ok() && denial.ok()) return begin(entry, layout, data);
  context_.transfers.give_back(layout);
  entry.denial = denial;
  entry.state = State::kDenied;
  return status;
}

// Regions, rights and every block. `denial`: why nothing of it will happen.
Status Server::check(Entry& entry, Layout& layout, Status& denial) {
  denial = resolve(entry, layout);
  if (!denial.ok()) return {};
  const std::size_t refs = entry.request.regions * wire::RegionRef::kBytes;
  layout.list =
      entry.list != nullptr
          ? std::span(*entry.list)
          : std::span(std::as_const(entry.payload)).subspan(refs, entry.request.list_bytes);
  BlockTotals totals;
  Block bad;
  switch (check_blocks(layout.list, region_bytes_, totals, bad)) {
    case BlockAnswer::kMalformed:
      return protocol_error(
          fmt::format("a malformed list of blocks of {} bytes", layout.list.size()));
    case BlockAnswer::kOutside:
      denial = {StatusCode::kInvalidArgument,
                fmt::format("block of {} bytes at offset {} is outside of region {}, which has "
                            "{} bytes",
                            bad.length, bad.offset, layout.regions[bad.region].region,
                            region_bytes_[bad.region])};
      return {};
    case BlockAnswer::kGood:
      break;
  }
  if (totals.bytes != entry.request.bytes) {
    return protocol_error(fmt::format("a Request for {} bytes whose blocks have {}",
                                      entry.request.bytes, totals.bytes));
  }
  denial = layout.check_kinds(totals.blocks, totals.bytes);
  return {};
}

// Not OK: the denial.
Status Server::resolve(const Entry& entry, Layout& layout) {
  const auto need = static_cast<std::uint8_t>(
      entry.request.operation == wire::Operation::kWrite ? Access::kWrite : Access::kRead);
  ByteReader in(entry.payload);
  region_bytes_.clear();
  for (std::uint32_t i = 0; i < entry.request.regions; ++i) {
    wire::RegionRef ref;
    ref.decode(in);
    const Region* region = context_.transfers.find_region(RegionId(ref.region));
    if (region == nullptr) {
      return {StatusCode::kNotFound, fmt::format("region {} is no longer registered", ref.region)};
    }
    if (!region->exports.made(ref)) {
      return {StatusCode::kDenied, fmt::format("the export of region {} was altered", ref.region)};
    }
    if ((ref.access & need) == 0) {
      return {
          StatusCode::kDenied,
          fmt::format("region {} was not exported for {}", ref.region,
                      need == static_cast<std::uint8_t>(Access::kWrite) ? "writing" : "reading")};
    }
    layout.regions.push_back({ref.region, region->base, region->length, region->memory.get(),
                              region->kind == Memory::kHost});
    region_bytes_.push_back(region->length);
  }
  return {};
}

Status Server::begin(Entry& entry, Layout& layout, std::span<const std::byte> data) {
  const wire::Request& request = entry.request;
  if (request.operation == wire::Operation::kWrite && data.size() == request.bytes) {
    if (layout.on_host() || data.empty()) {
      scatter({nullptr, nullptr, &layout, {}, request.bytes}, 0, data);
      entry.state = State::kLanded;
    } else {
      entry.denial = {StatusCode::kInvalidArgument, "data for GPU memory in a Request"};
      entry.state = State::kDenied;
    }
    context_.transfers.give_back(layout);
    return {};
  }
  const bool reads = request.operation == wire::Operation::kRead;
  const Direction direction = reads ? Direction::kServedRead : Direction::kServedWrite;
  if (!place_for(entry)) {  // Checked again later, for the regions may be gone by then.
    context_.transfers.give_back(layout);
    entry.state = State::kChecking;
    return {};
  }
  const auto id =
      context_.transfers.add(direction, PeerId(peer_), request.bytes, layout, priority_of(entry));
  ++places_of(entry);
  entry.transfer = static_cast<std::uint64_t>(*id);
  Transfer& transfer = *context_.transfers.find(entry.transfer);
  transfer.sequence = request.slot;
  const bool small =
      request.bytes == 0 || (request.bytes <= context_.options.small_bytes && transfer.on_host &&
                             (request.flags & wire::Request::kTakesData) != 0);
  entry.state = !reads ? State::kGranting : small ? State::kAnswering : State::kLaunching;
  return {};
}

bool Server::place_for(const Entry& entry) {
  return context_.transfers.can_serve(places_of(entry), priority_of(entry));
}

// A notification that nobody has taken asks for no place.
bool Server::asked() const {
  for (std::uint64_t left = used_; left != 0; left &= left - 1) {
    const Entry& entry = entries_[static_cast<std::size_t>(std::countr_zero(left))];
    if (entry.transfer != 0 || entry.state == State::kChecking) return true;
  }
  return false;
}

Status Server::advance(FrameStream& link, const PeerLimits& limits, std::size_t& steps) {
  places_ = {};
  for (std::uint64_t left = used_; left != 0; left &= left - 1) {
    const Entry& entry = entries_[static_cast<std::size_t>(std::countr_zero(left))];
    places_of(entry) += entry.transfer != 0 ? 1 : 0;
  }
  Status status = advance(used_ & urgent_, link, limits, steps);
  return status.ok() ? advance(used_ & ~urgent_, link, limits, steps) : status;
}

Status Server::advance(std::uint64_t slots, FrameStream& link, const PeerLimits& limits,
                       std::size_t& steps) {
  for (std::uint64_t left = slots; left != 0; left &= left - 1) {
    const auto slot = static_cast<std::uint16_t>(std::countr_zero(left));
    if (entries_[slot].state == State::kChecking && place_for(entries_[slot])) {
      Status status = accept(entries_[slot], {});
      if (!status.ok()) return status;
    }
    while (step(slot, link, limits)) ++steps;
  }
  return {};
}

namespace {

// All the data of a read, gathered into the frame.
struct GatheredAnswer {
  std::uint16_t slot;
  const Transfer& transfer;

  void encode(ByteWriter& out) const {
    out.u16(slot);
    BlockWalk walk(transfer.layout->list);
    for (Block piece; walk.next(UINT64_MAX, piece);) {
      out.bytes({transfer.layout->regions[piece.region].base + piece.offset, piece.length});
    }
  }
};

}  // namespace

// False: nothing to do, or the control connection is full.
bool Server::step(std::uint16_t slot, FrameStream& link, const PeerLimits& limits) {
  Entry& entry = entries_[slot];
  switch (entry.state) {
    case State::kDenied:
      if (!link.room_for(2 + 3 + wire::kLongestReason)) return false;
      link.queue(wire::FrameType::kDenied,
                 wire::Denied{slot, entry.denial.code(), entry.denial.message()});
      std::erase(notify_of(entry), slot);
      free(entry);
      return true;
    case State::kGranting:
      if (!link.room_for(10)) return false;
      link.queue(wire::FrameType::kGranted, wire::Granted{slot, context_.chunk_bytes});
      entry.state = State::kMoving;
      return true;
    case State::kAnswering: {
      const Transfer& transfer = *context_.transfers.find(entry.transfer);
      if (!link.room_for(2 + transfer.length)) return false;
      link.queue(wire::FrameType::kAnswer, GatheredAnswer{slot, transfer});
      context_.transfers.complete(std::exchange(entry.transfer, 0), 0, {});
      entry.state = State::kAnswered;
      return true;
    }
    case State::kLaunching:
      if (!outbound_.launch(link, limits, entry.transfer, entry.request.chunk_bytes)) return false;
      entry.state = State::kMoving;
      return true;
    case State::kMoving: {
      if (entry.request.operation != wire::Operation::kWrite) return false;
      const Transfer& transfer = *context_.transfers.find(entry.transfer);
      if (transfer.check.differs) {
        entry.denial = transfer.compare();
        SLUICE_LOG(kWarning, "engine", "peer {} slot {} write: {}", peer_, slot,
                   entry.denial.message());
        context_.transfers.complete(std::exchange(entry.transfer, 0), 0, {});
        entry.state = State::kDenied;
        return true;
      }
      if (!transfer.moved()) return false;
      context_.transfers.complete(entry.transfer, transfer.length, {});
      entry.state = State::kLanded;
      return true;
    }
    case State::kLanded:
      if (!link.room_for(2)) return false;
      link.queue(wire::FrameType::kLanded, wire::Slot{slot});
      data_there(entry);
      return true;
    case State::kReleasing:
      if (!link.room_for(2)) return false;
      link.queue(wire::FrameType::kReleased, wire::Slot{slot});
      free(entry);
      return true;
    case State::kAborting: {
      const Transfer* write =
          entry.transfer == 0 ? nullptr : context_.transfers.find(entry.transfer);
      if (write != nullptr && write->finished < write->announced) return false;
      if (!link.room_for(2)) return false;
      if (write != nullptr) context_.transfers.complete(entry.transfer, 0, {});
      link.queue(wire::FrameType::kAborted, wire::Slot{slot});
      free(entry);
      return true;
    }
    default:
      return false;
  }
}

void Server::data_there(Entry& entry) {
  entry.transfer = 0;
  if (notifies(entry)) {
    entry.state = State::kUntaken;
  } else {
    free(entry);
  }
}

bool Server::take_notification(std::string& bytes) {
  return take_notification(notify_first_, bytes) || take_notification(notify_, bytes);
}

bool Server::take_notification(std::vector<std::uint16_t>& slots, std::string& bytes) {
  if (slots.empty() || entries_[slots.front()].state != State::kUntaken) return false;
  Entry& entry = entries_[slots.front()];
  const auto part = std::span(entry.payload).last(entry.request.notification_bytes);
  bytes.assign(reinterpret_cast<const char*>(part.data()), part.size());
  slots.erase(slots.begin());
  entry.state = State::kReleasing;
  return true;
}

void Server::free(Entry& entry) {
  held_ -= entry.request.payload_bytes();
  used_ &= ~(1ull << (&entry - entries_.data()));
  urgent_ &= used_;
  entry.payload.clear();
  // What one peer has once filled is kept for the next time, but never more than it may hold.
  if (entry.payload.capacity() > context_.options.request_bytes / wire::kMostSlots) {
    entry.payload.shrink_to_fit();
  }
  entry.denial = {};
  entry.list.reset();
  entry.transfer = 0;
  entry.state = State::kFree;
}

}  // namespace sluice
