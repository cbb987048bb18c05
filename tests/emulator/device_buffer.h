// Device memory as a program under the emulator has it: the driver's, be it a GPU's or the stub
// library's. For the tests here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::emulator {

// Aligned to pages, zeroed by nobody. Making one makes the primary context of
// the emulator's GPU the calling thread's. Only with the host's memory may bytes() be touched.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t bytes);
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer();
  [[nodiscard]] std::span<std::byte> bytes() const { return memory_; }

 private:
  std::span<std::byte> memory_;
};

void copy_to_device(std::byte* device, std::span<const std::byte> from);
void copy_from_device(std::span<std::byte> to, const void* device);
void copy_on_device(std::byte* to, const std::byte* from, std::size_t bytes);

// Makes the primary context of the emulator's GPU the calling thread's, as cudaSetDevice does.
void use_device();

}  // namespace sluice::emulator
