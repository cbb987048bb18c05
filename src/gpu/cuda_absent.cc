// In place of the CUDA files where the build has no nvcc.
#include "src/gpu/cuda_gpu.h"

namespace sluice {

std::string describe_cuda() { return "built without CUDA (no nvcc when it was configured)"; }

std::uint32_t count_cuda_gpus() { return 0; }

Result<std::unique_ptr<Gpu>> open_cuda_gpu(const CudaGpuOptions&) {
  return Status(StatusCode::kUnavailable, "no GPU: " + describe_cuda());
}

Status make_cuda_gpu_current(std::uint32_t) {
  return {StatusCode::kUnavailable, "no GPU: " + describe_cuda()};
}

Result<std::uint32_t> current_cuda_gpu() {
  return Status(StatusCode::kUnavailable, "no GPU: " + describe_cuda());
}

}  // namespace sluice
