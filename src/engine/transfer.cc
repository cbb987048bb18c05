#include "src/engine/transfer.h"

#include <fmt/format.h>

#include <utility>

#include "src/base/check.h"

namespace sluice {

TransferTable::TransferTable(std::uint32_t max_transfers, std::uint32_t max_regions,
                             Recorder* recorder)
    : transfers_(max_transfers), regions_(max_regions), recorder_(recorder), done_(max_transfers) {}

Result<RegionId> TransferTable::add_region(std::span<std::byte> range, Memory kind,
                                           std::unique_ptr<NetMemory> memory) {
  const std::uint64_t id = regions_.acquire();
  if (id == 0) {
    return Status(StatusCode::kWouldBlock,
                  fmt::format("{} regions are registered (max_regions)", regions_.capacity()));
  }
  Region& region = *regions_.find(id);
  region.base = range.data();
  region.length = range.size();
  region.memory = std::move(memory);
  region.kind = kind;
  return RegionId(id);
}

Status TransferTable::remove_region(RegionId region) {
  Region* found = regions_.find(static_cast<std::uint64_t>(region));
  if (found == nullptr) {
    return {StatusCode::kNotFound,
            fmt::format("region {} is not registered", static_cast<std::uint64_t>(region))};
  }
  if (found->uses > 0) {
    return {StatusCode::kWouldBlock,
            fmt::format("region {} is used by {} transfers that are not complete",
                        static_cast<std::uint64_t>(region), found->uses)};
  }
  regions_.release(static_cast<std::uint64_t>(region));
  return {};
}

Result<TransferId> TransferTable::add(Direction direction, PeerId peer, Slice slice) {
  Region* region = regions_.find(static_cast<std::uint64_t>(slice.region));
  if (region == nullptr) {
    return Status(StatusCode::kNotFound, fmt::format("region {} is not registered",
                                                     static_cast<std::uint64_t>(slice.region)));
  }
  if (slice.length > region->length || slice.offset > region->length - slice.length) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("slice of {} bytes at offset {} is outside of region {}, which has "
                              "{} bytes",
                              slice.length, slice.offset, static_cast<std::uint64_t>(slice.region),
                              region->length));
  }
  const std::uint64_t id = transfers_.acquire();
  if (id == 0) {
    static const Status full(StatusCode::kWouldBlock,
                             "max_transfers are in flight or not yet polled");
    return full;
  }
  Transfer& transfer = *transfers_.find(id);
  transfer.direction = direction;
  transfer.peer = peer;
  transfer.region = slice.region;
  transfer.memory = region->memory.get();
  transfer.kind = region->kind;
  transfer.data = region->base + slice.offset;
  transfer.length = slice.length;
  ++region->uses;
  note(EventKind::kAsked, id, transfer, slice.length);
  return TransferId(id);
}

void TransferTable::complete(std::uint64_t id, std::uint64_t bytes, const Status& status) {
  Transfer* transfer = transfers_.find(id);
  SLUICE_CHECK(transfer != nullptr && !transfer->complete && transfer->in_net == 0,
               "transfer {} completed twice or with chunks in the Net", id);
  transfer->complete = true;
  transfer->status = status;
  --regions_.find(static_cast<std::uint64_t>(transfer->region))->uses;
  done_[done_tail_++ % done_.size()] = {id, bytes};
  note(EventKind::kCompleted, id, *transfer, bytes);
}

// Asked between passes, completed in one.
void TransferTable::note(EventKind kind, std::uint64_t id, const Transfer& transfer,
                         std::uint64_t bytes) {
  if (recorder_ == nullptr) return;
  const bool asked = kind == EventKind::kAsked;
  const auto way = transfer.direction == Direction::kSend ? kSends : kReceives;
  const Event event{0,
                    id,
                    static_cast<std::uint32_t>(bytes >> 32),
                    static_cast<std::uint32_t>(bytes),
                    static_cast<std::uint32_t>(transfer.peer),
                    0,
                    kind,
                    asked ? way : static_cast<std::uint8_t>(transfer.status.code())};
  asked ? recorder_->add_ahead(event) : recorder_->add(event);
}

std::size_t TransferTable::poll(std::span<Completion> out) {
  std::size_t count = 0;
  while (count < out.size() && done_head_ < done_tail_) {
    const Done& done = done_[done_head_++ % done_.size()];
    Transfer& transfer = *transfers_.find(done.id);
    out[count++] = {TransferId(done.id), transfer.peer, std::move(transfer.status), done.bytes};
    transfers_.release(done.id);
  }
  return count;
}

void TransferQueue::push(std::uint64_t id) {
  table_.find(id)->next = 0;
  if (head_ == 0) {
    head_ = id;
  } else {
    table_.find(tail_)->next = id;
  }
  tail_ = id;
}

void TransferQueue::pop() {
  SLUICE_CHECK(head_ != 0, "empty");
  head_ = table_.find(head_)->next;
}

}  // namespace sluice
