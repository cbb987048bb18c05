// How channels come to be in a simulated world: listeners, connectors and the channels they make.
#pragma once

#include <array>
#include <memory>

#include "src/net/net.h"
#include "tests/sim_net/sim_link.h"
#include "tests/sim_net/sim_net.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

// What listeners and connectors share: an outcome that comes at a time, and that is seen only by
// Net::progress().
class SimMaker : public SimActor {
 public:
  SimMaker(SimWorld& world, SimNet& net);
  ~SimMaker() override;

  void notice();  // Net::progress().

 protected:
  MakeAnswer answer(Status& failure);
  void come(std::shared_ptr<SimLink> link);
  void come(Status failure);
  void forget();  // Waits for another one.
  [[nodiscard]] bool has_come() const { return link_ != nullptr || !failure_.ok(); }
  [[nodiscard]] bool answered() const { return answered_; }

  SimPart part_;
  std::shared_ptr<SimLink> link_;

 private:
  Status failure_;
  Nanoseconds ready_at_ = 0;
  bool noticed_ = false;
  bool answered_ = false;
};

// What a handle holds.
struct SimHandle {
  static constexpr std::size_t kBytes = 24;
  ActorId listener = 0;
  std::uint64_t secret = 0;

  void encode(std::span<std::byte> out) const;
  bool decode(std::span<const std::byte> bytes);
};

class SimListener final : public Listener, public SimMaker {
 public:
  SimListener(SimWorld& world, SimNet& net);
  ~SimListener() override;

  [[nodiscard]] std::span<const std::byte> handle() const override { return handle_; }
  MakeAnswer accept(std::unique_ptr<RecvChannel>& channel, Status& failure) override;
  void step() override;

  // A connector with this secret wants a link from `sender`. nullptr: it may not have one.
  std::shared_ptr<SimLink> offer(std::uint64_t secret, SimNet& sender);
  [[nodiscard]] SimHost host() const { return part_.net().host(); }

 private:
  SimHandle told_;
  std::array<std::byte, SimHandle::kBytes> handle_{};
};

class SimConnector final : public Connector, public SimMaker {
 public:
  SimConnector(SimWorld& world, SimNet& net, const SimHandle& target);
  ~SimConnector() override;

  MakeAnswer connect(std::unique_ptr<SendChannel>& channel, Status& failure) override;
  void step() override;

 private:
  SimHandle target_;
  Nanoseconds attempt_at_;
};

}  // namespace sluice::sim
