#include "plugins/nccl/unpack_receiver.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

namespace sluice::nccl_plugin {

using nccl_abi::kUnpackPageBytes;
using nccl_abi::kUnpackSlots;
using nccl_abi::UnpackDeviceHandle;
using nccl_abi::UnpackMeta;

UnpackReceiver::UnpackReceiver(GpuPool::Extent extent)
    : extent_(std::move(extent)),
      meta_(*new (extent_.bytes().data()) UnpackMeta),
      handle_(*new (extent_.bytes().data() + sizeof(UnpackMeta)) UnpackDeviceHandle),
      room_(extent_.bytes().subspan(kMetaBytes)) {
  std::fill(std::begin(meta_.counts), std::end(meta_.counts), 0);
  // Kernels count up before they look: the first slot is 0.
  handle_ = {.meta = &meta_,
             .bounce_pool = const_cast<std::byte*>(extent_.pool().base()),
             .head = ~std::uint64_t{0}};
}

void UnpackReceiver::describe(nccl_abi::DeviceHandle& handle) const {
  handle = {.type = nccl_abi::kDeviceUnpack,
            .version = nccl_abi::kUnpackVersion,
            .handle = &handle_,
            .size = sizeof(handle_),
            // Without it NCCL would never call irecv.
            .needs_proxy_progress = 1};
}

std::byte* UnpackReceiver::place(std::uint64_t bytes) {
  if (placed_ - consumed_ == kUnpackSlots) return nullptr;
  std::byte* const at = room_.take(bytes);
  if (at == nullptr) return nullptr;
  slot(placed_++) = {.pool_offset = static_cast<std::uint64_t>(at - extent_.pool().base()),
                     .published = false};
  return at;
}

// An entry a page: the warps of the kernel share a message out by entries.
void UnpackReceiver::publish(std::uint64_t k, std::uint64_t bytes) {
  nccl_abi::UnpackEntry* entry = meta_.entries[k % kUnpackSlots];
  Slot& published = slot(k);
  std::uint64_t count = 0;
  for (std::uint64_t at = 0; at < bytes; at += kUnpackPageBytes) {
    entry[count++] = {.source_offset = static_cast<std::uint32_t>(published.pool_offset + at),
                      .length = static_cast<std::uint32_t>(std::min(kUnpackPageBytes, bytes - at)),
                      .destination_offset = at};
  }
  // Last, and before test() says done: kernels read the count first.
  std::atomic_ref(meta_.counts[k % kUnpackSlots]).store(count, std::memory_order_seq_cst);
  published.published = true;
}

bool UnpackReceiver::consume(std::uint64_t k) {
  if (k != consumed_ || k >= placed_ || !slot(k).published) return false;
  room_.free_oldest();
  ++consumed_;
  return true;
}

}  // namespace sluice::nccl_plugin
