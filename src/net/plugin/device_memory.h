// Reading what a plugin keeps in "device" memory: CUDA memory where a driver is in the process,
// memory of the host where a plugin only plays at having a device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sluice/status.h"
#include "src/base/dl.h"

namespace sluice {

// Bytes that this process can read from `base` on without a gap, at most `most`, as the text of
// /proc/self/maps tells.
[[nodiscard]] std::uint64_t readable_bytes(std::string_view maps, std::uint64_t base,
                                           std::uint64_t most);

// One thread. All of it is for when a channel is made, none for its chunks.
class DeviceMemory {
 public:
  // Uses the CUDA driver that the process has loaded, if it has.
  DeviceMemory();

  // Copies `bytes` from the device. kSystem: neither the driver nor the host can read them.
  Status read(void* into, const void* from, std::size_t bytes) const;
  // How many bytes can be read from `base` on, at most `most`: what the driver, else the system
  // says of the allocation. 0 if neither knows of any.
  [[nodiscard]] std::uint64_t extent(const void* base, std::uint64_t most) const;
  // False where there is no driver to ask.
  [[nodiscard]] bool is_of_gpu(const void* address) const;

 private:
  using PointerAttribute = int (*)(void* value, int attribute, std::uint64_t address);
  using CopyToHost = int (*)(void* into, std::uint64_t from, std::size_t bytes);
  using AddressRange = int (*)(std::uint64_t* base, std::size_t* bytes, std::uint64_t address);

  std::optional<DynamicLibrary> driver_;
  CopyToHost copy_to_host_ = nullptr;             // cuMemcpyDtoH_v2
  AddressRange address_range_ = nullptr;          // cuMemGetAddressRange_v2
  PointerAttribute pointer_attribute_ = nullptr;  // cuPointerGetAttribute
};

}  // namespace sluice
