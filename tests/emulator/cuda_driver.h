// The calls of the CUDA driver that the emulator makes, found at run time: no CUDA header is needed
// to build it. Names, layouts and numbers are those of cuda.h 12 and 13.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace sluice::emulator {

using CuResult = int;  // 0: success
using CuDevice = int;
using CuPointer = std::uint64_t;     // CUdeviceptr
using CuAllocation = std::uint64_t;  // CUmemGenericAllocationHandle
using CuContext = void*;
using CuStream = void*;

inline constexpr unsigned kCuStreamNonBlocking = 1;
inline constexpr unsigned kCuHostAllocPortable = 1;
inline constexpr int kCuHandleTypePosixFd = 1;
inline constexpr int kCuAllocationPinned = 1;
inline constexpr int kCuLocationDevice = 1;
inline constexpr int kCuAccessReadWrite = 3;

struct CuLocation {
  int type;
  int id;
};
struct CuAllocationProperties {  // CUmemAllocationProp
  int type;
  int handle_types;
  CuLocation location;
  void* win32_metadata;
  unsigned char compression;
  unsigned char gpu_direct_rdma_capable;
  unsigned short usage;
  unsigned char reserved[4];
};
static_assert(sizeof(CuAllocationProperties) == 32);
struct CuAccess {  // CUmemAccessDesc
  CuLocation location;
  int flags;
};
static_assert(sizeof(CuAccess) == 12);

// libcuda.so.1, loaded for the rest of the process's life.
class CudaDriver {
 public:
  // NULL, and why in `wrong`, without a driver or when cuInit refuses.
  static std::unique_ptr<CudaDriver> load(std::string* wrong);

  CuResult (*init)(unsigned) = nullptr;
  CuResult (*device_count)(int*) = nullptr;
  CuResult (*device_get)(CuDevice*, int) = nullptr;
  CuResult (*device_by_pci)(CuDevice*, const char*) = nullptr;
  CuResult (*device_pci)(char*, int, CuDevice) = nullptr;
  CuResult (*primary_retain)(CuContext*, CuDevice) = nullptr;
  CuResult (*context_push)(CuContext) = nullptr;
  CuResult (*context_pop)(CuContext*) = nullptr;
  CuResult (*granularity)(std::size_t*, const CuAllocationProperties*, int) = nullptr;
  CuResult (*create)(CuAllocation*, std::size_t, const CuAllocationProperties*,
                     unsigned long long) = nullptr;
  CuResult (*export_handle)(void*, CuAllocation, int, unsigned long long) = nullptr;
  CuResult (*import_handle)(CuAllocation*, void*, int) = nullptr;
  CuResult (*release)(CuAllocation) = nullptr;
  CuResult (*reserve)(CuPointer*, std::size_t, std::size_t, CuPointer,
                      unsigned long long) = nullptr;
  CuResult (*map)(CuPointer, std::size_t, std::size_t, CuAllocation, unsigned long long) = nullptr;
  CuResult (*set_access)(CuPointer, std::size_t, const CuAccess*, std::size_t) = nullptr;
  CuResult (*host_alloc)(void**, std::size_t, unsigned) = nullptr;
  CuResult (*host_free)(void*) = nullptr;
  CuResult (*stream_create)(CuStream*, unsigned) = nullptr;
  CuResult (*stream_destroy)(CuStream) = nullptr;
  CuResult (*stream_synchronize)(CuStream) = nullptr;
  CuResult (*copy_to_device)(CuPointer, const void*, std::size_t, CuStream) = nullptr;
  CuResult (*copy_to_host)(void*, CuPointer, std::size_t, CuStream) = nullptr;

 private:
  CudaDriver() = default;
};

// A context is the calling thread's while this lives.
class CurrentContext {
 public:
  CurrentContext(const CudaDriver& driver, CuContext context)
      : driver_(driver), ok_(driver.context_push(context) == 0) {}
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;
  ~CurrentContext() {
    CuContext popped = nullptr;
    if (ok_) driver_.context_pop(&popped);
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  const CudaDriver& driver_;
  bool ok_;
};

// The properties of the bounce pool's allocation on a device, as rxdm creates it.
CuAllocationProperties pool_properties(CuDevice device);

}  // namespace sluice::emulator
