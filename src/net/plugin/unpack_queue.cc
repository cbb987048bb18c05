#include "src/net/plugin/unpack_queue.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "src/base/log.h"

namespace sluice {
namespace {

using nccl_abi::kUnpackEntries;
using nccl_abi::kUnpackSlots;
using nccl_abi::UnpackEntry;

constexpr std::uint64_t kLargestPool = 1ul << 32;  // What an offset of 32 bits reaches.

Status protocol_error(std::string message) { return {StatusCode::kProtocol, std::move(message)}; }

}  // namespace

UnpackQueue::UnpackQueue(const nccl_abi::UnpackDeviceHandle& handle, std::uint64_t pool_bytes)
    : meta_(*handle.meta),
      pool_(static_cast<const std::byte*>(handle.bounce_pool), pool_bytes),
      fragments_(new Fragment[kUnpackSlots * kUnpackEntries]) {}

Result<std::unique_ptr<UnpackQueue>> UnpackQueue::create(const nccl_abi::DeviceHandle& handle,
                                                         const DeviceMemory& memory) {
  if (handle.type != nccl_abi::kDeviceUnpack || handle.version != nccl_abi::kUnpackVersion ||
      handle.size < sizeof(nccl_abi::UnpackDeviceHandle) || handle.handle == nullptr) {
    return protocol_error(fmt::format(
        "a device handle of type {} version {} with {} bytes at {}, not of type {} version {}",
        handle.type, handle.version, handle.size, handle.handle, nccl_abi::kDeviceUnpack,
        nccl_abi::kUnpackVersion));
  }
  nccl_abi::UnpackDeviceHandle unpack{};
  Status status = memory.read(&unpack, handle.handle, sizeof(unpack));
  if (!status.ok()) return status.with_context("device handle");
  if (reinterpret_cast<std::uintptr_t>(unpack.meta) % alignof(nccl_abi::UnpackMeta) != 0 ||
      memory.extent(unpack.meta, sizeof(*unpack.meta)) < sizeof(*unpack.meta)) {
    return protocol_error(fmt::format("no unpack metadata at {}", static_cast<void*>(unpack.meta)));
  }
  if (unpack.bounce_pool == nullptr) return protocol_error("no bounce pool");
  std::uint64_t pool_bytes = memory.extent(unpack.bounce_pool, kLargestPool);
  if (pool_bytes == 0) {
    pool_bytes = kLargestPool;
    SLUICE_LOG(kInfo, "plugin", "bounce pool at {} has no known end; {} bytes are assumed",
               unpack.bounce_pool, pool_bytes);
  }
  return std::unique_ptr<UnpackQueue>(new UnpackQueue(unpack, pool_bytes));
}

Status UnpackQueue::take(std::uint64_t k, std::uint64_t room, Arrival& arrival) {
  const std::uint64_t slot = k % kUnpackSlots;
  // Written last, from a thread of the plugin or for a device: nothing may be read before it.
  auto& published = const_cast<std::uint64_t&>(meta_.counts[slot]);
  const std::uint64_t count =
      std::atomic_ref<std::uint64_t>(published).load(std::memory_order_acquire);
  if (count > kUnpackEntries) {
    return protocol_error(
        fmt::format("message {} has {} fragments, {} is the most", k, count, kUnpackEntries));
  }
  Fragment* const fragments = fragments_.get() + slot * kUnpackEntries;
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const UnpackEntry entry = meta_.entries[slot][i];  // Read once: checked is what is used.
    if (entry.length > pool_.size() || entry.source_offset > pool_.size() - entry.length) {
      return protocol_error(
          fmt::format("fragment {} of message {}: {} bytes at {} of a bounce pool of {}", i, k,
                      entry.length, entry.source_offset, pool_.size()));
    }
    fragments[i] = {entry.source_offset, entry.length, entry.destination_offset};
    bytes += entry.length;
  }
  if (bytes > room) {
    return {StatusCode::kTooLong, fmt::format("a chunk of {} bytes met room for {}", bytes, room)};
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const Fragment& fragment = fragments[i];
    if (fragment.length > bytes || fragment.destination_offset > bytes - fragment.length) {
      return protocol_error(fmt::format("fragment {} of message {}: {} bytes to {} of {}", i, k,
                                        fragment.length, fragment.destination_offset, bytes));
    }
  }
  arrival.bytes = bytes;
  arrival.fragments = {fragments, count};
  arrival.pool = pool_;
  return {};
}

}  // namespace sluice
