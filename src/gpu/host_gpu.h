// The Gpu of machines without one: memcpy, finished when unpack() returns.
#pragma once

#include "src/gpu/gpu.h"

namespace sluice {

class HostGpu final : public Gpu {
 public:
  std::uint64_t unpack(std::span<const Unpack> batch) override;
  GpuAnswer test(std::uint64_t ticket) override;
  [[nodiscard]] Status failure() const override { return {}; }

 private:
  std::uint64_t tickets_ = 0;
};

}  // namespace sluice
