// The Gpu of machines without one: memcpy, finished when unpack() or pack() returns.
#pragma once

#include "src/gpu/gpu.h"

namespace sluice {

class HostGpu final : public Gpu {
 public:
  // kPosing: host memory passes for memory of a GPU, so that tests go its ways without one.
  enum class Pose : std::uint8_t { kNone, kPosing };
  explicit HostGpu(Pose pose = Pose::kNone);

  [[nodiscard]] const std::string& description() const override { return description_; }
  std::uint64_t unpack(std::span<const Unpack> batch) override;
  std::uint64_t pack(std::span<const Piece> pieces) override;
  std::uint64_t checksum(std::span<const Checksum> batch) override;
  GpuAnswer test(std::uint64_t ticket) override;
  [[nodiscard]] Status failure() const override { return {}; }
  Result<GpuMemory> allocate_pinned(std::size_t bytes) override;
  Result<GpuMemory> allocate_device(std::size_t bytes) override;
  [[nodiscard]] Status check_device(std::span<const std::byte> range) const override;
  Status read_device(std::span<std::byte> into, const void* from) override;

 private:
  const Pose pose_;
  const std::string description_;
  std::uint64_t tickets_ = 0;
};

}  // namespace sluice
