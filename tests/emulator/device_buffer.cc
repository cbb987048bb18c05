#include "tests/emulator/device_buffer.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "tests/emulator/settings.h"

namespace sluice::emulator {
namespace {

using Address = std::uint64_t;

// Calls a function of libcuda.so.1; anything but success fails the test.
template <typename... Arguments>
void cuda(const char* name, Arguments... arguments) {
  static void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << ::dlerror();
  auto* function = reinterpret_cast<int (*)(Arguments...)>(::dlsym(library, name));
  ASSERT_NE(function, nullptr) << name;
  EXPECT_EQ(function(arguments...), 0) << name;
}

Address address_of(const void* device) { return reinterpret_cast<Address>(device); }

}  // namespace

void use_device() {
  int device = 0;
  void* context = nullptr;
  const std::string gpu = environment_of(kGpuVariable);
  cuda("cuInit", 0u);
  cuda("cuDeviceGetByPCIBusId", &device, gpu.c_str());
  cuda("cuDevicePrimaryCtxRetain", &context, device);
  cuda("cuCtxSetCurrent", context);
}

DeviceBuffer::DeviceBuffer(std::size_t bytes) {
  use_device();
  // A GPU aligns to pages only what is no smaller than its own large ones.
  constexpr std::size_t kLargePage = 2 << 20;
  Address address = 0;
  cuda("cuMemAlloc_v2", &address, (bytes + kLargePage - 1) / kLargePage * kLargePage);
  memory_ = {reinterpret_cast<std::byte*>(address), bytes};
}

DeviceBuffer::~DeviceBuffer() { cuda("cuMemFree_v2", address_of(memory_.data())); }

void copy_to_device(std::byte* device, std::span<const std::byte> from) {
  if (from.empty()) return;
  cuda("cuMemcpyHtoD_v2", address_of(device), static_cast<const void*>(from.data()), from.size());
}

void copy_from_device(std::span<std::byte> to, const void* device) {
  if (to.empty()) return;
  cuda("cuMemcpyDtoH_v2", static_cast<void*>(to.data()), address_of(device), to.size());
}

void copy_on_device(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes > 0) cuda("cuMemcpyDtoD_v2", address_of(to), address_of(from), bytes);
}

}  // namespace sluice::emulator
