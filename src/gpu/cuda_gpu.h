// The Gpu of a CUDA device. docs/gpu.md tells of streams, contexts and what is measured.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "src/base/clock.h"
#include "src/gpu/gpu.h"

namespace sluice {

// Who moves the bytes of a piece.
enum class CopyBy : std::uint8_t {
  kAuto,    // Large pieces the copy engine, small ones the kernel.
  kKernel,  // A kernel on a few SMs: pieces cost little, of whatever size.
  kCopy,    // The copy engine: takes no SM, costs the host a microsecond or two a piece.
};

struct CudaGpuOptions {
  std::uint32_t index = 0;  // As the driver counts, after CUDA_VISIBLE_DEVICES.
  std::uint32_t sms = 4;    // SMs that one pack or unpack takes at most.
  CopyBy unpack = CopyBy::kAuto;
  CopyBy pack = CopyBy::kAuto;
  Nanoseconds linger = 0;  // How long a kernel stays on its SMs for more; on GPUs with clusters.
};

// kUnavailable: built without CUDA, no driver, no device; kInvalidArgument: no such device.
Result<std::unique_ptr<Gpu>> open_cuda_gpu(const CudaGpuOptions& options);

// GPUs that open_cuda_gpu() can open: 0 without CUDA or driver.
[[nodiscard]] std::uint32_t count_cuda_gpus();

// The GPU whose context is current on this thread, as open_cuda_gpu() counts. kUnavailable: built
// without CUDA, no driver, or none is current.
[[nodiscard]] Result<std::uint32_t> current_cuda_gpu();

// Makes the GPU's primary context current on this thread for good, as cudaSetDevice() does, unless
// it is. For foreign code that goes by the current one; a CudaGpu does not.
Status make_cuda_gpu_current(std::uint32_t index);

// What this build and this machine have, in one line: "CUDA 13.0, 2 GPUs: NVIDIA H200, ...", "no
// CUDA driver: ...", "built without CUDA". Loads the driver.
[[nodiscard]] std::string describe_cuda();

}  // namespace sluice
