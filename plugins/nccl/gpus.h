// The GPUs of this process, as UNPACK mode needs them. Tests link one that has no CUDA.
#pragma once

#include <cstdint>
#include <memory>

#include "src/gpu/gpu.h"

namespace sluice::nccl_plugin {

// Thread-safe.
class Gpus {
 public:
  virtual ~Gpus() = default;
  [[nodiscard]] virtual std::uint32_t count() const = 0;
  // The one that is current on the calling thread: NCCL makes its rank's so.
  [[nodiscard]] virtual Result<std::uint32_t> current() const = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<Gpu>> open(std::uint32_t index) const = 0;
};

// cuda_gpus.cc: those of the CUDA driver.
std::unique_ptr<Gpus> make_gpus();

}  // namespace sluice::nccl_plugin
