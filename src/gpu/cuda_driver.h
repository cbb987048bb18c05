// The CUDA driver, found when the program runs: libcuda.so.1 is opened by name, so that one build
// runs with and without it. Only what sluice calls; thread-safe once loaded.
#pragma once

#include <cuda.h>

#include <string_view>

#include "sluice/status.h"

namespace sluice {

// What is called, under the names that cuda.h maps to the versions it declares.
#define SLUICE_CUDA_FUNCTIONS(X)  \
  X(cuInit)                       \
  X(cuDriverGetVersion)           \
  X(cuGetErrorName)               \
  X(cuGetErrorString)             \
  X(cuDeviceGetCount)             \
  X(cuDeviceGet)                  \
  X(cuDeviceGetName)              \
  X(cuDeviceGetAttribute)         \
  X(cuDeviceGetPCIBusId)          \
  X(cuDevicePrimaryCtxRetain)     \
  X(cuDevicePrimaryCtxRelease)    \
  X(cuCtxPushCurrent)             \
  X(cuCtxGetDevice)               \
  X(cuCtxSetCurrent)              \
  X(cuCtxPopCurrent)              \
  X(cuCtxGetStreamPriorityRange)  \
  X(cuModuleLoadData)             \
  X(cuModuleUnload)               \
  X(cuModuleGetFunction)          \
  X(cuStreamCreateWithPriority)   \
  X(cuStreamDestroy)              \
  X(cuStreamQuery)                \
  X(cuStreamSynchronize)          \
  X(cuStreamWriteValue64)         \
  X(cuLaunchKernelEx)             \
  X(cuOccupancyMaxActiveClusters) \
  X(cuMemAlloc)                   \
  X(cuMemFree)                    \
  X(cuMemHostAlloc)               \
  X(cuMemHostRegister)            \
  X(cuMemHostUnregister)          \
  X(cuMemFreeHost)                \
  X(cuMemcpy)                     \
  X(cuMemcpyAsync)                \
  X(cuMemsetD8Async)              \
  X(cuPointerGetAttribute)

class CudaDriver {
 public:
  // Opens and initialises the driver. kUnavailable: there is none, or no device that works.
  static Result<CudaDriver> load();

#define SLUICE_DECLARE(name) decltype(&::name) name = nullptr;
  SLUICE_CUDA_FUNCTIONS(SLUICE_DECLARE)
#undef SLUICE_DECLARE

  // OK, or kSystem with the driver's words: "launching: CUDA_ERROR_... (an illegal ...)".
  [[nodiscard]] Status status(CUresult result, std::string_view what) const;
};

// Makes a context current on this thread for as long as it lives, and then what was before: the
// thread is the user's.
class CurrentContext {
 public:
  CurrentContext(const CudaDriver& driver, CUcontext context) : driver_(driver) {
    pushed_ = driver_.cuCtxPushCurrent(context) == CUDA_SUCCESS;
  }
  ~CurrentContext() {
    CUcontext popped = nullptr;
    if (pushed_) driver_.cuCtxPopCurrent(&popped);
  }
  CurrentContext(const CurrentContext&) = delete;
  CurrentContext& operator=(const CurrentContext&) = delete;

 private:
  const CudaDriver& driver_;
  bool pushed_;
};

}  // namespace sluice
