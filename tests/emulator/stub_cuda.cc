// libcuda.so.1 for machines without a GPU: host memory plays the device's. The calls are those that
// the TCPX plugin and the emulator make, and the copies that their users make; there is one device.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/emulator/memory_range.h"
#include "tests/emulator/stub_device.h"

#define SLUICE_STUB extern "C" __attribute__((visibility("default")))

namespace {

// CUresult.
enum : int { kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotSupported = 801 };

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kLargePageBytes = 2 << 20;

int context;  // Its address is the one context there is.
thread_local int context_depth = 0;

int allocate(void** memory, std::size_t bytes) {
  if (bytes == 0) return kInvalidValue;
  return ::posix_memalign(memory, kPageBytes, bytes) == 0 ? kSuccess : kOutOfMemory;
}

int allocate(std::uint64_t* device, std::size_t bytes) {
  void* memory = nullptr;
  const int result = allocate(&memory, bytes);
  *device = reinterpret_cast<std::uint64_t>(memory);
  return result;
}

void* host(std::uint64_t device) { return reinterpret_cast<void*>(device); }

}  // namespace

SLUICE_STUB int cuInit(unsigned) { return kSuccess; }
SLUICE_STUB int cuDeviceGetCount(int* count) {
  *count = 1;
  return kSuccess;
}
SLUICE_STUB int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 ? kSuccess : kInvalidValue;
}
SLUICE_STUB int cuDeviceGetPCIBusId(char* text, int bytes, int device) {
  if (device != 0) return kInvalidValue;
  std::snprintf(text, static_cast<std::size_t>(bytes), "%s", sluice::emulator::kStubGpu);
  return kSuccess;
}
SLUICE_STUB int cuDeviceGetByPCIBusId(int* device, const char* text) {
  *device = 0;
  return std::strcmp(text, sluice::emulator::kStubGpu) == 0 ? kSuccess : kInvalidValue;
}
SLUICE_STUB int cuDevicePrimaryCtxRetain(void** made, int) {
  *made = &context;
  return kSuccess;
}
SLUICE_STUB int cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }

SLUICE_STUB int cuCtxCreate_v2(void** made, unsigned, int) {
  ++context_depth;
  *made = &context;
  return kSuccess;
}
SLUICE_STUB int cuCtxPushCurrent_v2(void*) {
  ++context_depth;
  return kSuccess;
}
SLUICE_STUB int cuCtxPopCurrent_v2(void** popped) {
  if (context_depth > 0) --context_depth;
  if (popped != nullptr) *popped = &context;
  return kSuccess;
}
SLUICE_STUB int cuCtxGetCurrent(void** current) {
  *current = context_depth > 0 ? &context : nullptr;
  return kSuccess;
}
SLUICE_STUB int cuCtxSetCurrent(void* current) {
  context_depth = current == nullptr ? 0 : 1;
  return kSuccess;
}
SLUICE_STUB int cuCtxGetDevice(int* device) {
  *device = 0;
  return kSuccess;
}

SLUICE_STUB int cuGetErrorName(int result, const char** name) {
  *name = result == kSuccess ? "CUDA_SUCCESS" : "CUDA_ERROR";
  return kSuccess;
}
SLUICE_STUB int cuGetErrorString(int result, const char** text) {
  *text = result == kSuccess ? "no error" : "an error of the emulator's libcuda";
  return kSuccess;
}

SLUICE_STUB int cuMemAlloc_v2(std::uint64_t* device, std::size_t bytes) {
  return allocate(device, bytes);
}
SLUICE_STUB int cuMemFree_v2(std::uint64_t device) {
  std::free(host(device));
  return kSuccess;
}
SLUICE_STUB int cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return allocate(memory, bytes);
}
SLUICE_STUB int cuMemFreeHost(void* memory) {
  std::free(memory);
  return kSuccess;
}
SLUICE_STUB int cuMemHostGetDevicePointer_v2(std::uint64_t* device, void* memory, unsigned) {
  *device = reinterpret_cast<std::uint64_t>(memory);
  return kSuccess;
}
SLUICE_STUB int cuMemcpyHtoD_v2(std::uint64_t to, const void* from, std::size_t bytes) {
  std::memcpy(host(to), from, bytes);
  return kSuccess;
}
SLUICE_STUB int cuMemcpyDtoH_v2(void* to, std::uint64_t from, std::size_t bytes) {
  std::memcpy(to, host(from), bytes);
  return kSuccess;
}
SLUICE_STUB int cuMemcpyDtoD_v2(std::uint64_t to, std::uint64_t from, std::size_t bytes) {
  std::memmove(host(to), host(from), bytes);
  return kSuccess;
}
SLUICE_STUB int cuMemcpyHtoDAsync_v2(std::uint64_t to, const void* from, std::size_t bytes, void*) {
  return cuMemcpyHtoD_v2(to, from, bytes);
}
SLUICE_STUB int cuMemcpyDtoHAsync_v2(void* to, std::uint64_t from, std::size_t bytes, void*) {
  return cuMemcpyDtoH_v2(to, from, bytes);
}
SLUICE_STUB int cuStreamCreate(void** stream, unsigned) {
  *stream = &context;  // Every copy is done when it returns.
  return kSuccess;
}
SLUICE_STUB int cuStreamDestroy_v2(void*) { return kSuccess; }
SLUICE_STUB int cuStreamSynchronize(void*) { return kSuccess; }
SLUICE_STUB int cuIpcOpenMemHandle_v2(std::uint64_t*, ...) { return kNotSupported; }

// An allocation's handle is its descriptor and one, so that 0 is none.
SLUICE_STUB int cuMemImportFromShareableHandle(std::uint64_t* allocation, void* handle, int) {
  const int fd = ::dup(static_cast<int>(reinterpret_cast<std::intptr_t>(handle)));
  if (fd < 0) return kInvalidValue;
  *allocation = static_cast<std::uint64_t>(fd) + 1;
  return kSuccess;
}
SLUICE_STUB int cuMemGetAllocationGranularity(std::size_t* bytes, const void*, int) {
  *bytes = kLargePageBytes;
  return kSuccess;
}
SLUICE_STUB int cuMemCreate(std::uint64_t* allocation, std::size_t bytes, const void*,
                            unsigned long long) {
  if (bytes == 0 || bytes % kLargePageBytes != 0) return kInvalidValue;
  const int fd = ::memfd_create("sluice-emulator-allocation", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) return kOutOfMemory;
  *allocation = static_cast<std::uint64_t>(fd) + 1;
  return kSuccess;
}
SLUICE_STUB int cuMemExportToShareableHandle(void* handle, std::uint64_t allocation, int,
                                             unsigned long long) {
  const int fd = ::dup(static_cast<int>(allocation) - 1);
  if (fd < 0) return kInvalidValue;
  std::memcpy(handle, &fd, sizeof(fd));
  return kSuccess;
}
SLUICE_STUB int cuMemRelease(std::uint64_t allocation) {
  return allocation != 0 && ::close(static_cast<int>(allocation - 1)) == 0 ? kSuccess
                                                                           : kInvalidValue;
}
SLUICE_STUB int cuMemAddressReserve(std::uint64_t* device, std::size_t bytes, std::size_t,
                                    std::uint64_t, unsigned long long) {
  void* memory = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return kOutOfMemory;
  *device = reinterpret_cast<std::uint64_t>(memory);
  return kSuccess;
}
SLUICE_STUB int cuMemAddressFree(std::uint64_t device, std::size_t bytes) {
  return ::munmap(host(device), bytes) == 0 ? kSuccess : kInvalidValue;
}
SLUICE_STUB int cuMemMap(std::uint64_t device, std::size_t bytes, std::size_t offset,
                         std::uint64_t allocation, unsigned long long) {
  void* memory = ::mmap(host(device), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED,
                        static_cast<int>(allocation) - 1, static_cast<off_t>(offset));
  return memory == MAP_FAILED ? kInvalidValue : kSuccess;
}
SLUICE_STUB int cuMemUnmap(std::uint64_t device, std::size_t bytes) {
  void* memory =
      ::mmap(host(device), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return memory == MAP_FAILED ? kInvalidValue : kSuccess;
}
SLUICE_STUB int cuMemSetAccess(std::uint64_t device, std::size_t bytes, const void*, std::size_t) {
  return ::mprotect(host(device), bytes, PROT_READ | PROT_WRITE) == 0 ? kSuccess : kInvalidValue;
}

// The driver maps whole pages of its own allocations only; here any page-aligned memory is device
// memory, since the host's plays its part.
SLUICE_STUB int cuMemGetHandleForAddressRange(void* handle, std::uint64_t address,
                                              std::size_t bytes, int type, unsigned long long) {
  constexpr int kDmaBufFd = 1;  // CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD
  if (type != kDmaBufFd || address == 0 || address % kPageBytes != 0 || bytes == 0) {
    return kInvalidValue;
  }
  const int fd = sluice::emulator::make_range_fd({address, bytes});
  if (fd < 0) return kOutOfMemory;
  std::memcpy(handle, &fd, sizeof(fd));
  return kSuccess;
}
