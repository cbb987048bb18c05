// A Gpu that takes its time: what it was given is copied later, and only then Done. Host memory
// poses as its own.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "src/gpu/host_gpu.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

class SimGpu final : public Gpu, public SimActor {
 public:
  SimGpu(SimWorld& world, SimHost host) : SimActor(world), host_(host) {}

  [[nodiscard]] const std::string& description() const override { return host_gpu_.description(); }
  std::uint64_t unpack(std::span<const Unpack> batch) override;
  std::uint64_t pack(std::span<const Piece> pieces) override;
  std::uint64_t checksum(std::span<const Checksum> batch) override;
  GpuAnswer test(std::uint64_t ticket) override;
  [[nodiscard]] Status failure() const override { return {}; }
  Result<GpuMemory> allocate_pinned(std::size_t bytes) override {
    return host_gpu_.allocate_pinned(bytes);
  }
  Result<GpuMemory> allocate_device(std::size_t bytes) override {
    return host_gpu_.allocate_device(bytes);
  }
  [[nodiscard]] Status check_device(std::span<const std::byte> range) const override {
    return host_gpu_.check_device(range);
  }
  Status read_device(std::span<std::byte> into, const void* from) override {
    return host_gpu_.read_device(into, from);
  }

  void step() override;

 private:
  struct Work {
    std::function<void()> run;
    Nanoseconds due;
  };

  std::uint64_t start(std::function<void()> work);

  HostGpu host_gpu_{HostGpu::Pose::kPosing};  // Its memory.
  SimHost host_;
  std::deque<Work> work_;  // Oldest first.
  std::uint64_t tickets_ = 0;
  std::uint64_t done_ = 0;  // All up to this ticket.
};

}  // namespace sluice::sim
