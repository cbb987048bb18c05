// The members of an engine for one-sided transfers.
#include <fmt/format.h>

#include <utility>

#include "src/engine/engine_impl.h"

namespace sluice {

Result<std::string> EngineImpl::export_region(RegionId region, Access access) {
  Region* found = transfers_.find_region(region);
  const auto rights = static_cast<std::uint8_t>(access);
  if (found == nullptr) {
    return Status(StatusCode::kNotFound,
                  fmt::format("region {} is not registered", static_cast<std::uint64_t>(region)));
  }
  if (rights < 1 || rights > 3) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("access {}: 1, 2 and 3 are legal", rights));
  }
  return RegionExport{own_limits_.generation, found->length, found->kind,
                      found->exports.make(region, access)}
      .to_bytes();
}

Result<RemoteRegionId> EngineImpl::import_region(PeerId peer, std::string_view bytes) {
  const Peer* found = find_peer(peer);
  if (found == nullptr) return no_such_peer(peer);
  return remote_regions_.add(peer, found->generation(), bytes);
}

Status EngineImpl::forget_region(RemoteRegionId region) { return remote_regions_.remove(region); }

Result<TransferId> EngineImpl::write(PeerId peer, std::span<const Slice> from,
                                     std::span<const RemoteSlice> to,
                                     const TransferOptions& options) {
  return one_sided(Direction::kWrite, peer, from, to, options);
}

Result<TransferId> EngineImpl::read(PeerId peer, std::span<const Slice> into,
                                    std::span<const RemoteSlice> from,
                                    const TransferOptions& options) {
  return one_sided(Direction::kRead, peer, into, from, options);
}

Result<TransferId> EngineImpl::notify(PeerId peer, std::span<const std::byte> bytes) {
  TransferOptions options;
  options.notification = bytes;
  return one_sided(Direction::kWrite, peer, {}, {}, options);
}

Result<TransferId> EngineImpl::one_sided(Direction direction, PeerId peer,
                                         std::span<const Slice> local,
                                         std::span<const RemoteSlice> remote,
                                         const TransferOptions& options) {
  Peer* found = find_peer(peer);
  if (found == nullptr) return no_such_peer(peer);
  if (found->failed()) return found->failure();
  if (transfers_.full()) return transfers_.no_room();
  Layout& layout = transfers_.take_layout();
  auto id = lay_out(direction, peer, local, remote, options, layout);
  if (id.ok()) {
    const auto transfer = static_cast<std::uint64_t>(*id);
    if (options.deadline.count() > 0) {
      transfers_.find(transfer)->deadline = clock_->now() + from_us(options.deadline.count());
    }
    found->enqueue(transfer, direction);
    rouse(*found);
  } else {
    transfers_.give_back(layout);
  }
  return id;
}

Result<TransferId> EngineImpl::lay_out(Direction direction, PeerId peer,
                                       std::span<const Slice> local,
                                       std::span<const RemoteSlice> remote,
                                       const TransferOptions& options, Layout& layout) {
  const bool writes = direction == Direction::kWrite;
  const Region* first = local.empty() ? nullptr : transfers_.find_region(local.front().region);
  // Memory of a GPU is read as fast in any order.
  const bool in_any_order = writes && first != nullptr && first->kind == Memory::kCuda;
  if (!in_any_order) slice_order_.sort(local, remote, writes);
  std::uint64_t here = 0;
  std::uint64_t there = 0;
  Status status = transfers_.lay_out(local, layout, here);
  if (!status.ok()) return status;
  const Access need = writes ? Access::kWrite : Access::kRead;
  status = remote_regions_.describe(peer, remote, need, options, layout, there);
  if (!status.ok()) return status;
  if (here != there) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("the local slices have {} bytes, the remote ones {}", here, there));
  }
  status = layout.check_kinds(local.size(), here);
  if (!status.ok()) return status;
  return transfers_.add(direction, peer, here, layout, options.priority);
}

Status EngineImpl::cancel(TransferId transfer) {
  const auto id = static_cast<std::uint64_t>(transfer);
  const Transfer* found = transfers_.find(id);
  if (found == nullptr || found->complete || serves(found->direction)) {
    return {StatusCode::kNotFound, fmt::format("transfer {} is complete or never was", id)};
  }
  Peer* peer = find_peer(found->peer);
  if (peer->failed()) return {};  // It ends for that reason.
  rouse(*peer);
  return peer->cancel(id, found->direction);
}

std::size_t EngineImpl::poll_notifications(std::span<Notification> out) {
  std::size_t count = 0;
  while (count < out.size() && !last_notifications_.empty()) {
    out[count++] = std::move(last_notifications_.front());
    last_notifications_.pop_front();
  }
  for (Peer* peer : awake_) {  // Whoever has one is.
    while (count < out.size() && peer->take_notification(out[count].bytes)) {
      out[count++].peer = PeerId(peer->id());
    }
  }
  return count;
}

}  // namespace sluice
