// A Gpu that takes its time: what it was given to unpack is copied later, and only then Done.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "src/gpu/gpu.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

class SimGpu final : public Gpu, public SimActor {
 public:
  SimGpu(SimWorld& world, SimHost host) : SimActor(world), host_(host) {}

  std::uint64_t unpack(std::span<const Unpack> batch) override;
  GpuAnswer test(std::uint64_t ticket) override;
  [[nodiscard]] Status failure() const override { return {}; }

  void step() override;

 private:
  struct Work {
    std::vector<Unpack> batch;
    Nanoseconds due;
  };

  SimHost host_;
  std::deque<Work> work_;  // Oldest first.
  std::uint64_t tickets_ = 0;
  std::uint64_t done_ = 0;  // All up to this ticket.
};

}  // namespace sluice::sim
