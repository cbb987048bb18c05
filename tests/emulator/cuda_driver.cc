#include "tests/emulator/cuda_driver.h"

#include <dlfcn.h>

namespace sluice::emulator {

std::unique_ptr<CudaDriver> CudaDriver::load(std::string* wrong) {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    *wrong = ::dlerror();
    return nullptr;
  }
  std::unique_ptr<CudaDriver> driver(new CudaDriver);
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
    if (function == nullptr) *wrong = std::string("libcuda.so.1 has no ") + name;
  };
  find(driver->init, "cuInit");
  find(driver->device_count, "cuDeviceGetCount");
  find(driver->device_get, "cuDeviceGet");
  find(driver->device_by_pci, "cuDeviceGetByPCIBusId");
  find(driver->device_pci, "cuDeviceGetPCIBusId");
  find(driver->primary_retain, "cuDevicePrimaryCtxRetain");
  find(driver->context_push, "cuCtxPushCurrent_v2");
  find(driver->context_pop, "cuCtxPopCurrent_v2");
  find(driver->granularity, "cuMemGetAllocationGranularity");
  find(driver->create, "cuMemCreate");
  find(driver->export_handle, "cuMemExportToShareableHandle");
  find(driver->import_handle, "cuMemImportFromShareableHandle");
  find(driver->release, "cuMemRelease");
  find(driver->reserve, "cuMemAddressReserve");
  find(driver->map, "cuMemMap");
  find(driver->set_access, "cuMemSetAccess");
  find(driver->host_alloc, "cuMemHostAlloc");
  find(driver->host_free, "cuMemFreeHost");
  find(driver->stream_create, "cuStreamCreate");
  find(driver->stream_destroy, "cuStreamDestroy_v2");
  find(driver->stream_synchronize, "cuStreamSynchronize");
  find(driver->copy_to_device, "cuMemcpyHtoDAsync_v2");
  find(driver->copy_to_host, "cuMemcpyDtoHAsync_v2");
  if (!wrong->empty()) return nullptr;
  if (const CuResult result = driver->init(0); result != 0) {
    *wrong = "cuInit: error " + std::to_string(result);
    return nullptr;
  }
  return driver;
}

CuAllocationProperties pool_properties(CuDevice device) {
  CuAllocationProperties properties{};
  properties.type = kCuAllocationPinned;
  properties.handle_types = kCuHandleTypePosixFd;
  properties.location = {kCuLocationDevice, device};
  properties.gpu_direct_rdma_capable = 1;
  return properties;
}

}  // namespace sluice::emulator
