#include "tests/emulator/gpu_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>

#include "tests/emulator/cuda_driver.h"
#include "tests/emulator/stub_device.h"

namespace sluice::emulator {

Result<GpuPool> make_host_pool(std::uint64_t bytes) {
  GpuPool pool{kStubGpu, Fd(::memfd_create("sluice-emulator-pool", MFD_CLOEXEC)), bytes, 4096};
  if (!pool.memory.valid() || ::ftruncate(pool.memory.get(), static_cast<off_t>(bytes)) != 0) {
    return Status::from_errno(errno, "the bounce pool");
  }
  return pool;
}

Result<GpuPool> make_cuda_pool(int ordinal, std::uint64_t bytes) {
  std::string wrong;
  const std::unique_ptr<CudaDriver> driver = CudaDriver::load(&wrong);
  if (driver == nullptr) return Status(StatusCode::kUnavailable, wrong);
  const auto failed = [](const char* call, CuResult result) {
    return Status(StatusCode::kUnavailable,
                  std::string(call) + ": CUDA error " + std::to_string(result));
  };
  CuDevice device = 0;
  CuContext context = nullptr;
  std::array<char, 32> pci{};
  if (const CuResult result = driver->device_get(&device, ordinal); result != 0) {
    return failed("cuDeviceGet", result);
  }
  if (const CuResult result = driver->primary_retain(&context, device); result != 0) {
    return failed("cuDevicePrimaryCtxRetain", result);
  }
  const CurrentContext current(*driver, context);
  driver->device_pci(pci.data(), static_cast<int>(pci.size()), device);
  GpuPool pool;
  pool.gpu = pci.data();
  std::transform(pool.gpu.begin(), pool.gpu.end(), pool.gpu.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const CuAllocationProperties properties = pool_properties(device);
  std::size_t granularity = 0;
  if (const CuResult result = driver->granularity(&granularity, &properties, 0); result != 0) {
    return failed("cuMemGetAllocationGranularity", result);
  }
  pool.alignment = granularity;
  pool.bytes = (bytes + granularity - 1) / granularity * granularity;
  CuAllocation allocation = 0;
  if (const CuResult result = driver->create(&allocation, pool.bytes, &properties, 0);
      result != 0) {
    return failed("cuMemCreate", result);
  }
  int fd = -1;
  const CuResult result = driver->export_handle(&fd, allocation, kCuHandleTypePosixFd, 0);
  driver->release(allocation);
  if (result != 0) return failed("cuMemExportToShareableHandle", result);
  pool.memory = Fd(fd);
  return pool;
}

}  // namespace sluice::emulator
