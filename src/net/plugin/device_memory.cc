#include "src/net/plugin/device_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

namespace sluice {
namespace {

// Ours are few, but a process with a driver has thousands of mappings: not byte by byte.
std::string own_maps() {
  const std::ifstream file("/proc/self/maps");
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

struct Mapping {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool readable = false;
};

// "7f0000000000-7f0000001000 rw-p ..."; empty if it is not like that.
Mapping parse_mapping(std::string_view line) {
  Mapping mapping;
  const char* stop = line.data() + line.size();
  auto [dash, first_error] = std::from_chars(line.data(), stop, mapping.begin, 16);
  if (first_error != std::errc() || dash == stop || *dash != '-') return {};
  auto [space, second_error] = std::from_chars(dash + 1, stop, mapping.end, 16);
  if (second_error != std::errc() || stop - space < 2) return {};
  mapping.readable = space[1] == 'r';
  return mapping;
}

}  // namespace

std::uint64_t readable_bytes(std::string_view maps, std::uint64_t base, std::uint64_t most) {
  std::uint64_t end = base;  // The kernel lists mappings by address.
  while (!maps.empty() && end - base < most) {
    const std::size_t length = std::min(maps.find('\n'), maps.size());
    const Mapping mapping = parse_mapping(maps.substr(0, length));
    maps.remove_prefix(std::min(length + 1, maps.size()));
    if (mapping.readable && mapping.begin <= end && end < mapping.end) end = mapping.end;
  }
  return std::min(end - base, most);
}

DeviceMemory::DeviceMemory() {
  auto driver = DynamicLibrary::open_if_loaded("libcuda.so.1");
  if (!driver.ok()) return;
  driver_.emplace(driver.take());
  copy_to_host_ = reinterpret_cast<CopyToHost>(driver_->symbol("cuMemcpyDtoH_v2"));
  address_range_ = reinterpret_cast<AddressRange>(driver_->symbol("cuMemGetAddressRange_v2"));
  pointer_attribute_ = reinterpret_cast<PointerAttribute>(driver_->symbol("cuPointerGetAttribute"));
}

bool DeviceMemory::is_of_gpu(const void* address) const {
  constexpr int kMemoryType = 2;  // CU_POINTER_ATTRIBUTE_MEMORY_TYPE
  constexpr unsigned kOfGpu = 2;  // CU_MEMORYTYPE_DEVICE
  unsigned type = 0;
  return pointer_attribute_ != nullptr &&
         pointer_attribute_(&type, kMemoryType, reinterpret_cast<std::uintptr_t>(address)) == 0 &&
         type == kOfGpu;
}

Status DeviceMemory::read(void* into, const void* from, std::size_t bytes) const {
  const auto address = reinterpret_cast<std::uintptr_t>(from);
  if (copy_to_host_ != nullptr && copy_to_host_(into, address, bytes) == 0) return {};
  if (readable_bytes(own_maps(), address, bytes) < bytes) {
    return {StatusCode::kSystem,
            fmt::format("{} bytes of device memory at {} cannot be read: {}", bytes, from,
                        copy_to_host_ != nullptr ? "not by the CUDA driver, nor by the host"
                                                 : "no CUDA driver, and the host cannot")};
  }
  std::memcpy(into, from, bytes);
  return {};
}

std::uint64_t DeviceMemory::extent(const void* base, std::uint64_t most) const {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  std::uint64_t begin = 0;
  std::size_t bytes = 0;
  if (address_range_ != nullptr && address_range_(&begin, &bytes, address) == 0 &&
      begin <= address && address - begin < bytes) {
    return std::min<std::uint64_t>(bytes - (address - begin), most);
  }
  return readable_bytes(own_maps(), address, most);
}

}  // namespace sluice
