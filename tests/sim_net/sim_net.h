// The Net of one host in a simulated world. It checks its caller: a breach of the contract in
// src/net/net.h aborts the process with what was wrong.
#pragma once

#include <memory>
#include <vector>

#include "src/base/fd.h"
#include "src/net/net.h"
#include "tests/sim_net/sim_link.h"
#include "tests/sim_net/sim_pool.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

class SimMaker;

class SimNet final : public Net {
 public:
  SimNet(SimWorld& world, SimHost host);
  ~SimNet() override;

  [[nodiscard]] std::string_view name() const override { return "sim"; }
  [[nodiscard]] const std::vector<Device>& devices() const override { return devices_; }
  Result<std::unique_ptr<NetMemory>> register_memory(std::span<std::byte> range,
                                                     Memory kind) override;
  Result<std::unique_ptr<Listener>> listen(std::uint32_t device, std::string_view reach) override;
  Result<std::unique_ptr<Connector>> connect(std::uint32_t device,
                                             std::span<const std::byte> handle) override;
  void progress() override;
  [[nodiscard]] int wake_fd() const override;
  void arm() override { armed_ = true; }
  void disarm() override;

  // For the parts of the simulation.
  [[nodiscard]] SimHost host() const { return host_; }
  [[nodiscard]] SimPool& pool() { return pool_; }
  void ring() const {
    if (armed_) wake_.ring();
  }
  void enter(SimMaker& maker) { makers_.push_back(&maker); }
  void leave(SimMaker& maker) { std::erase(makers_, &maker); }
  void count_parts(int change) { parts_ += change; }

 private:
  SimWorld& world_;
  SimHost host_;
  std::vector<Device> devices_;
  SimPool pool_;
  EventFd wake_;
  bool armed_ = false;
  std::vector<SimMaker*> makers_;  // Not answered yet.
  int parts_ = 0;                  // Channels, listeners, connectors and memory of ours.
};

// A part of a Net, which must not outlive it.
class SimPart {
 public:
  explicit SimPart(SimNet& net) : net_(net) { net_.count_parts(1); }
  ~SimPart() { net_.count_parts(-1); }
  SimPart(const SimPart&) = delete;
  SimPart& operator=(const SimPart&) = delete;

  [[nodiscard]] SimNet& net() const { return net_; }

 private:
  SimNet& net_;
};

}  // namespace sluice::sim
