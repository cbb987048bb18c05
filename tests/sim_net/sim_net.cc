#include "tests/sim_net/sim_net.h"

#include "src/base/check.h"
#include "tests/sim_net/sim_making.h"

namespace sluice::sim {
namespace {

EventFd make_doorbell() {
  Result<EventFd> made = EventFd::create();
  SLUICE_CHECK(made.ok(), "{}", made.status().to_string());
  return made.take();
}

}  // namespace

SimNet::SimNet(SimWorld& world, SimHost host)
    : world_(world), host_(host), pool_(world), wake_(make_doorbell()) {
  const SimOptions& options = world.options();
  Device device;
  device.name = "sim0";
  device.delivery = options.delivery;
  device.largest_chunk = options.largest_chunk;
  device.most_in_flight = options.most_in_flight;
  device.sent_survives_close = !options.close_loses;
  device.takes_remainders = options.takes_remainders && options.delivery == Delivery::kInPlace;
  devices_.push_back(device);
}

SimNet::~SimNet() { SLUICE_CHECK(parts_ == 0, "{} parts outlive their Net", parts_); }

Result<std::unique_ptr<NetMemory>> SimNet::register_memory(std::span<std::byte> range,
                                                           Memory kind) {
  if (kind != Memory::kHost) {
    return Status(StatusCode::kInvalidArgument, "the sim Net takes host memory only");
  }
  return std::unique_ptr<NetMemory>(std::make_unique<SimMemory>(*this, range));
}

Result<std::unique_ptr<Listener>> SimNet::listen(std::uint32_t device, std::string_view) {
  SLUICE_CHECK(device < devices_.size(), "device {} of {}", device, devices_.size());
  return std::unique_ptr<Listener>(std::make_unique<SimListener>(world_, *this));
}

Result<std::unique_ptr<Connector>> SimNet::connect(std::uint32_t device,
                                                   std::span<const std::byte> handle) {
  SLUICE_CHECK(device < devices_.size(), "device {} of {}", device, devices_.size());
  SimHandle target;
  if (!target.decode(handle)) {
    return Status(StatusCode::kProtocol,
                  fmt::format("{} bytes are not a handle of the sim Net", handle.size()));
  }
  return std::unique_ptr<Connector>(std::make_unique<SimConnector>(world_, *this, target));
}

void SimNet::progress() {
  for (SimMaker* maker : makers_) maker->notice();
}

int SimNet::wake_fd() const { return world_.options().poll_only ? -1 : wake_.get(); }

void SimNet::disarm() {
  armed_ = false;
  wake_.clear();
}

}  // namespace sluice::sim
