#include <poll.h>

#include "tests/contract/net_under_test.h"
#include "tests/sim_net/sim_net.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::contract {
namespace {

class SimUnderTest final : public NetUnderTest {
 public:
  explicit SimUnderTest(const sim::SimOptions& options)
      : world_(options),
        sending_(world_, world_.add_host()),
        receiving_(world_, world_.add_host()) {}

  Net& sending() override { return sending_; }
  Net& receiving() override { return receiving_; }
  void drive() override {
    world_.run_until(world_.quiet() ? world_.now() + from_us(10) : world_.next_event());
    sending_.progress();
    receiving_.progress();
  }
  bool wait_readable(int fd) override {
    pollfd entry{fd, POLLIN, 0};
    while (poll(&entry, 1, 0) == 0) {
      if (!world_.run_next()) return false;  // Nothing will ever happen.
    }
    return true;
  }
  // Whoever does not come through connect() does not exist in that world.
  bool send_stranger(std::span<const std::byte>) override { return false; }

 private:
  sim::SimWorld world_;
  sim::SimNet sending_;
  sim::SimNet receiving_;
};

NetFactory factory(std::string name, const sim::SimOptions& options) {
  return {std::move(name), [options] { return std::make_unique<SimUnderTest>(options); }};
}

}  // namespace

std::vector<NetFactory> sim_nets() {
  sim::SimOptions in_place;

  sim::SimOptions fragments;
  fragments.delivery = Delivery::kFragments;

  sim::SimOptions slow;
  slow.chunk_delay = from_us(50);
  slow.make_delay = from_ms(1);
  slow.busy_percent = 30;
  slow.late_wake = true;
  slow.buffered_chunks = 0;

  sim::SimOptions poll_only;
  poll_only.poll_only = true;
  poll_only.delivery = Delivery::kFragments;
  poll_only.pool_bytes = 4 << 20;  // One chunk of the largest fills it.
  poll_only.busy_percent = 10;

  return {factory("SimInPlace", in_place), factory("SimFragments", fragments),
          factory("SimSlow", slow), factory("SimPollOnly", poll_only)};
}

}  // namespace sluice::contract
