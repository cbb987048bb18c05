// The receiving end of a comm in UNPACK mode: messages arrive in the bounce pool, and NCCL's kernel
// puts them into place from the metadata that is written here. The k-th message of a comm, counted
// from 0, has slot k mod 16. Its pages and its slot are its own until irecvConsumed says that the
// kernel is through with it. Belongs to the thread of the comm.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "plugins/nccl/byte_ring.h"
#include "plugins/nccl/gpu_pool.h"
#include "src/net/plugin/abi.h"

namespace sluice::nccl_plugin {

class UnpackReceiver {
 public:
  // What a comm takes of the pool: metadata, device handle, room for messages. The room is what
  // NCCL has in flight with an NCCL_BUFFSIZE of 8 MiB; a kernel's entries reach 4 KiB each.
  static constexpr std::uint64_t kRoomBytes = nccl_abi::kUnpackEntries * nccl_abi::kUnpackPageBytes;
  static constexpr std::uint64_t kMetaBytes = 129 * ByteRing::kPage;
  static constexpr std::uint64_t kExtentBytes = kMetaBytes + kRoomBytes;
  static_assert(kMetaBytes >= sizeof(nccl_abi::UnpackMeta) + sizeof(nccl_abi::UnpackDeviceHandle));

  // `extent` has kExtentBytes.
  explicit UnpackReceiver(GpuPool::Extent extent);

  // Fills what NCCL hands to its kernels; valid as long as this lives.
  void describe(nccl_abi::DeviceHandle& handle) const;

  // Room for the next message, of at most kRoomBytes. Null: not before one is consumed.
  std::byte* place(std::uint64_t bytes);
  // Message k has arrived with so many bytes, at most what it was placed with: tells the kernel.
  void publish(std::uint64_t k, std::uint64_t bytes);
  // False: message k is not the oldest, or was not published.
  bool consume(std::uint64_t k);

 private:
  struct Slot {
    std::uint64_t pool_offset = 0;
    bool published = false;
  };
  Slot& slot(std::uint64_t k) { return slots_[k % nccl_abi::kUnpackSlots]; }

  const GpuPool::Extent extent_;
  nccl_abi::UnpackMeta& meta_;
  nccl_abi::UnpackDeviceHandle& handle_;
  ByteRing room_;
  std::array<Slot, nccl_abi::kUnpackSlots> slots_;
  std::uint64_t placed_ = 0;
  std::uint64_t consumed_ = 0;
};

}  // namespace sluice::nccl_plugin
