#include "src/engine/one_sided.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {
namespace {

bool allows(const RemoteRegion& region, Access need) {
  return (region.exported.ref.access & static_cast<std::uint8_t>(need)) != 0;
}

}  // namespace

Result<RemoteRegionId> RemoteRegions::add(PeerId peer, std::uint64_t generation,
                                          std::string_view bytes) {
  auto exported = RegionExport::parse(bytes);
  if (!exported.ok()) return exported.status();
  if (generation != 0 && exported->generation != generation) {
    return stale_export();
  }
  const std::uint64_t id = regions_.acquire();
  if (id == 0) {
    return Status(StatusCode::kWouldBlock, fmt::format("{} regions are imported "
                                                       "(max_remote_regions)",
                                                       regions_.capacity()));
  }
  *regions_.find(id) = {peer, exported.take()};
  return RemoteRegionId(id);
}

Status RemoteRegions::remove(RemoteRegionId region) {
  if (regions_.release(static_cast<std::uint64_t>(region))) return {};
  return {StatusCode::kNotFound,
          fmt::format("remote region {} is not imported", static_cast<std::uint64_t>(region))};
}

void RemoteRegions::forget(PeerId peer) {
  if (regions_.used() == 0) return;
  regions_.for_each([&](std::uint64_t id, const RemoteRegion& region) {
    if (region.peer == peer) regions_.release(id);
  });
}

Status RemoteRegions::check(PeerId peer, const RemoteSlice& slice, Access need) const {
  const auto id = static_cast<std::uint64_t>(slice.region);
  const RemoteRegion* region = regions_.find(id);
  if (region == nullptr) {
    return {StatusCode::kNotFound, fmt::format("remote region {} is not imported", id)};
  }
  if (region->peer != peer) {
    return {
        StatusCode::kInvalidArgument,
        fmt::format("remote region {} is of peer {}, not of peer {}", id,
                    static_cast<std::uint64_t>(region->peer), static_cast<std::uint64_t>(peer))};
  }
  if (!allows(*region, need)) {
    return {StatusCode::kDenied, fmt::format("remote region {} was not exported for {}", id,
                                             need == Access::kWrite ? "writing" : "reading")};
  }
  const std::uint64_t length = region->exported.length;
  if (slice.length > length || slice.offset > length - slice.length) {
    return {StatusCode::kInvalidArgument,
            fmt::format("slice of {} bytes at offset {} is outside of remote region {}, which has "
                        "{} bytes",
                        slice.length, slice.offset, id, length)};
  }
  return {};
}

Status RemoteRegions::pack(PeerId peer, std::span<const RemoteSlice> slices, Access need,
                           Layout& layout) {
  const RemoteRegion* region = nullptr;  // That of the slice before, which most slices share.
  RemoteRegionId last{};
  std::uint32_t index = 0;
  for (const RemoteSlice& slice : slices) {
    const bool same = region != nullptr && slice.region == last;
    if (!same || slice.length > region->exported.length ||
        slice.offset > region->exported.length - slice.length) {
      if (Status status = check(peer, slice, need); !status.ok()) return status;
      last = slice.region;
      region = regions_.find(static_cast<std::uint64_t>(last));
      const auto found = std::find(used_.begin(), used_.end(), static_cast<std::uint64_t>(last));
      index = static_cast<std::uint32_t>(found - used_.begin());
      if (found == used_.end()) {
        if (index == wire::kMostRegionsPerRequest) {
          return {StatusCode::kInvalidArgument,
                  fmt::format("slices of more than {} regions", wire::kMostRegionsPerRequest)};
        }
        const std::uint64_t generation = region->exported.generation;
        if (!used_.empty() && layout.remote_generation != generation) return stale_export();
        layout.remote_generation = generation;
        used_.push_back(static_cast<std::uint64_t>(last));
        layout.remote_on_host = layout.remote_on_host && region->exported.kind == Memory::kHost;
      }
    }
    packer_.add({index, slice.offset, slice.length});
  }
  packer_.finish();
  return {};
}

Status RemoteRegions::describe(PeerId peer, std::span<const RemoteSlice> slices, Access need,
                               const TransferOptions& options, Layout& layout,
                               std::uint64_t& bytes) {
  used_.clear();
  list_.clear();
  packer_.begin(list_);
  if (Status status = pack(peer, slices, need, layout); !status.ok()) return status;
  bytes = packer_.bytes();
  layout.notifies = options.notification.has_value();
  const std::span<const std::byte> notification =
      layout.notifies ? *options.notification : std::span<const std::byte>();
  if (notification.size() > wire::kLongestNotification) {
    return {StatusCode::kInvalidArgument,
            fmt::format("a notification of {} bytes, {} is the most", notification.size(),
                        wire::kLongestNotification)};
  }
  std::vector<std::byte>& payload = layout.payload;
  payload.resize(used_.size() * wire::RegionRef::kBytes + list_.size() + notification.size());
  ByteWriter writer(payload);
  for (const std::uint64_t id : used_) regions_.find(id)->exported.ref.encode(writer);
  writer.bytes(list_);
  writer.bytes(notification);
  layout.remote_regions = static_cast<std::uint16_t>(used_.size());
  layout.remote_list_bytes = static_cast<std::uint32_t>(list_.size());
  layout.notification_bytes = static_cast<std::uint32_t>(notification.size());
  return {};
}

}  // namespace sluice
