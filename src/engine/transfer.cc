#include "src/engine/transfer.h"

#include <fmt/format.h>

#include <utility>

#include "src/base/check.h"
#include "src/base/crc32c.h"

namespace sluice {

Status Transfer::compare() const {
  const std::uint32_t here = crc32c_of(check.remainder, message_bytes);
  if (here == *check.told_crc32c) return {};
  return {StatusCode::kCorrupted,
          fmt::format("{} bytes were sent with checksum {:08x} and arrived with {:08x}",
                      message_bytes, *check.told_crc32c, here)};
}

TransferTable::TransferTable(std::uint32_t max_transfers, std::uint32_t max_regions,
                             Recorder* recorder)
    : max_transfers_(max_transfers),
      share_(max_transfers),
      transfers_(2 * max_transfers),
      regions_(max_regions),
      recorder_(recorder),
      done_(max_transfers) {}

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
  region.kind = kind;
  region.memory = std::move(memory);
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

Status TransferTable::check(Slice slice, const Region* region) const {
  if (region == nullptr) {
    return {StatusCode::kNotFound,
            fmt::format("region {} is not registered", static_cast<std::uint64_t>(slice.region))};
  }
  if (slice.length > region->length || slice.offset > region->length - slice.length) {
    return {StatusCode::kInvalidArgument,
            fmt::format("slice of {} bytes at offset {} is outside of region {}, which has "
                        "{} bytes",
                        slice.length, slice.offset, static_cast<std::uint64_t>(slice.region),
                        region->length)};
  }
  return {};
}

// 0: as many as may be are in flight.
std::uint64_t TransferTable::acquire(Direction direction, Priority priority) {
  if (serves(direction) ? serving_ >= most_serving(priority) : full()) return 0;
  if (serves(direction)) ++serving_;
  return transfers_.acquire();
}

const Status& TransferTable::no_room() {
  static const Status full(StatusCode::kWouldBlock,
                           "max_transfers are in flight or not yet polled");
  return full;
}

Result<TransferId> TransferTable::add(Direction direction, PeerId peer, Slice slice,
                                      Priority priority) {
  Region* region = regions_.find(static_cast<std::uint64_t>(slice.region));
  if (Status status = check(slice, region); !status.ok()) return status;
  const std::uint64_t id = acquire(direction, priority);
  if (id == 0) return no_room();
  Transfer& transfer = *transfers_.find(id);
  transfer.direction = direction;
  transfer.priority = priority;
  transfer.peer = peer;
  transfer.region = slice.region;
  transfer.memory = region->memory.get();
  transfer.on_host = region->kind == Memory::kHost;
  transfer.data = region->base + slice.offset;
  transfer.length = slice.length;
  ++region->uses;
  note(EventKind::kAsked, id, transfer, slice.length);
  return TransferId(id);
}

Layout& TransferTable::take_layout() {
  if (spare_layouts_.empty()) {
    layouts_.push_back(std::make_unique<Layout>());
    spare_layouts_.reserve(layouts_.size());
    return *layouts_.back();
  }
  Layout& layout = *spare_layouts_.back();
  spare_layouts_.pop_back();
  return layout;
}

void TransferTable::give_back(Layout& layout) {
  layout.clear();
  spare_layouts_.push_back(&layout);
}

Status TransferTable::lay_out(std::span<const Slice> slices, Layout& layout, std::uint64_t& bytes) {
  const Region* region = nullptr;  // That of the slice before, which most slices share.
  RegionId last{};
  std::uint32_t index = 0;
  packer_.begin(layout.own_list);
  for (const Slice& slice : slices) {
    if (region == nullptr || slice.region != last) {
      region = find_region(slice.region);
      last = slice.region;
    }
    if (region == nullptr || slice.length > region->length ||
        slice.offset > region->length - slice.length) {
      return check(slice, region);
    }
    const auto id = static_cast<std::uint64_t>(last);
    if (index >= layout.regions.size() || layout.regions[index].region != id) {
      index = 0;
      while (index < layout.regions.size() && layout.regions[index].region != id) ++index;
      if (index == layout.regions.size()) {
        if (index > UINT16_MAX) return {StatusCode::kInvalidArgument, "slices of 65,536 regions"};
        layout.regions.push_back({id, region->base, region->length, region->memory.get(),
                                  region->kind == Memory::kHost});
      }
    }
    packer_.add({index, slice.offset, slice.length});
  }
  packer_.finish();
  bytes = packer_.bytes();
  layout.list = layout.own_list;
  return {};
}

Result<TransferId> TransferTable::add(Direction direction, PeerId peer, std::uint64_t length,
                                      Layout& layout, Priority priority) {
  const std::uint64_t id = acquire(direction, priority);
  if (id == 0) return no_room();
  Transfer& transfer = *transfers_.find(id);
  transfer.direction = direction;
  transfer.priority = priority;
  transfer.peer = peer;
  transfer.length = length;
  transfer.layout = &layout;
  transfer.on_host = layout.on_host();
  BlockWalk walk(layout.list);
  if (Block first; walk.next(UINT64_MAX, first) && first.length == length) {  // One block.
    const RegionUse& use = layout.regions[first.region];
    transfer.data = use.base + first.offset;
    transfer.memory = use.memory;
    transfer.on_host = use.on_host;
  }
  for (const RegionUse& use : layout.regions) ++regions_.find(use.region)->uses;
  if (!serves(direction)) note(EventKind::kAsked, id, transfer, length);
  return TransferId(id);
}

void TransferTable::complete(std::uint64_t id, std::uint64_t bytes, const Status& status) {
  Transfer* transfer = transfers_.find(id);
  SLUICE_CHECK(transfer != nullptr && !transfer->complete && transfer->in_net == 0,
               "transfer {} completed twice or with chunks in the Net", id);
  transfer->complete = true;
  transfer->status = status;
  if (transfer->layout != nullptr) {
    for (const RegionUse& use : transfer->layout->regions) --regions_.find(use.region)->uses;
    give_back(*transfer->layout);
    transfer->layout = nullptr;
  } else {
    --regions_.find(static_cast<std::uint64_t>(transfer->region))->uses;
  }
  if (serves(transfer->direction)) {
    --serving_;
    transfers_.release(id);
    return;
  }
  done_[done_tail_++ % done_.size()] = {id, bytes};
  note(EventKind::kCompleted, id, *transfer, bytes);
}

// Asked between passes, completed in one.
void TransferTable::note(EventKind kind, std::uint64_t id, const Transfer& transfer,
                         std::uint64_t bytes) {
  if (recorder_ == nullptr) return;
  const bool asked = kind == EventKind::kAsked;
  const auto way = sends(transfer.direction) ? kSends : kReceives;
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

bool TransferQueue::remove(std::uint64_t id) {
  std::uint64_t before = 0;
  for (std::uint64_t at = head_; at != 0; before = at, at = table_.find(at)->next) {
    if (at != id) continue;
    const std::uint64_t behind = table_.find(at)->next;
    (before == 0 ? head_ : table_.find(before)->next) = behind;
    if (tail_ == id) tail_ = before;
    return true;
  }
  return false;
}

}  // namespace sluice
