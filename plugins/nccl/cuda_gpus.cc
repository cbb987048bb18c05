#include "plugins/nccl/gpus.h"
#include "src/gpu/cuda_gpu.h"

namespace sluice::nccl_plugin {
namespace {

class CudaGpus final : public Gpus {
 public:
  [[nodiscard]] std::uint32_t count() const override { return count_cuda_gpus(); }
  [[nodiscard]] Result<std::uint32_t> current() const override { return current_cuda_gpu(); }
  // The copy engine: a kernel of ours would need an SM, which programs that wait for NCCL may hold.
  [[nodiscard]] Result<std::unique_ptr<Gpu>> open(std::uint32_t index) const override {
    return open_cuda_gpu(
        {.index = index, .sms = 1, .unpack = CopyBy::kCopy, .pack = CopyBy::kCopy});
  }
};

}  // namespace

std::unique_ptr<Gpus> make_gpus() { return std::make_unique<CudaGpus>(); }

}  // namespace sluice::nccl_plugin
