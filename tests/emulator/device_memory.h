// The memory that plays the part of the GPU's: the host's, or a GPU's own where there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace sluice::emulator {

// Host memory between a socket and the device, and the copies to and fro. Of one thread at a time.
class Staging {
 public:
  virtual ~Staging() = default;
  virtual std::span<std::byte> buffer() = 0;
  // Finished when they return; false if the device refuses.
  virtual bool copy_to_pool(std::uint64_t pool_offset, const std::byte* from,
                            std::size_t bytes) = 0;
  virtual bool copy_from_device(std::byte* to, std::uint64_t address, std::size_t bytes) = 0;
};

// One process's view of the device and of the bounce pool. Thread-safe.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  // Where the host itself reads and writes the pool, or NULL if it can only be done by copies.
  virtual std::byte* host_pool() = 0;
  // NULL if the device refuses.
  virtual std::unique_ptr<Staging> make_staging(std::size_t bytes) = 0;
};

// Both take the descriptor of the pool, which becomes theirs. NULL, and why in `wrong`, on failure.
std::unique_ptr<DeviceMemory> make_host_memory(int pool_fd, std::size_t pool_bytes,
                                               std::string* wrong);
std::unique_ptr<DeviceMemory> make_cuda_memory(int pool_fd, std::size_t pool_bytes,
                                               const std::string& gpu, std::string* wrong);

}  // namespace sluice::emulator
