// The arrivals of one channel of an unpacking plugin: reads the metadata that it publishes and
// turns it into fragments that are known to lie where they may.
//
// The bounce pool's size is not published. What bounds a fragment is what can be proved: its offset
// has 32 bits, and the pool is a readable allocation from its base on, as the CUDA driver or the
// system tells (DeviceMemory::extent). Where neither knows the pool, 4 GiB remain.
#pragma once

#include <cstdint>
#include <memory>

#include "src/net/net.h"
#include "src/net/plugin/abi.h"
#include "src/net/plugin/device_memory.h"

namespace sluice {

class UnpackQueue {
 public:
  // `handle` is what accept() has filled. kProtocol: it is not of the one kind and version that is
  // known, or what it points to cannot be read.
  static Result<std::unique_ptr<UnpackQueue>> create(const nccl_abi::DeviceHandle& handle,
                                                     const DeviceMemory& memory);

  // Fills `arrival` with the k-th message of the channel, counted from 0 over all of them, after
  // the plugin has said that it is done. `room` is what was posted for it. The fragments are valid
  // until message k is consumed; at most 16 are at once. kTooLong: it has more bytes than that;
  // kProtocol: a fragment lies outside of the pool or of the message. Does not allocate when OK.
  Status take(std::uint64_t k, std::uint64_t room, Arrival& arrival);

  [[nodiscard]] const std::byte* pool() const { return pool_.data(); }

 private:
  UnpackQueue(const nccl_abi::UnpackDeviceHandle& handle, std::uint64_t pool_bytes);

  const nccl_abi::UnpackMeta& meta_;
  const std::span<const std::byte> pool_;
  // As many as the metadata has. Only pages that were used take memory.
  const std::unique_ptr<Fragment[]> fragments_;
};

}  // namespace sluice
