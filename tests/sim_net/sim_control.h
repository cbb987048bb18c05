// The ControlNet of one host in a simulated world.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "src/net/control.h"
#include "tests/sim_net/sim_pipe.h"
#include "tests/sim_net/sim_world.h"

namespace sluice::sim {

class SimControlNet final : public ControlNet {
 public:
  SimControlNet(SimWorld& world, SimHost host) : world_(world), host_(host) {}
  ~SimControlNet() override;

  Status listen(std::string_view host, std::uint16_t port) override;
  [[nodiscard]] std::uint16_t port() const override { return port_; }
  std::unique_ptr<ByteStream> accept() override;
  void set_accepting(bool on) override { accepting_ = on; }
  Result<std::unique_ptr<ByteStream>> connect(std::string_view host, std::uint16_t port) override;
  std::size_t ready(std::span<std::uint64_t> tags) override;
  Status watch(int fd) override;
  [[nodiscard]] int wake_fd() const override { return -1; }
  // Lets the world go on, with its background, until there is a reason to wake up.
  void sleep(std::chrono::microseconds limit) override;
  void interrupt() override { interrupted_.store(true); }

 private:
  class Stream;

  [[nodiscard]] bool someone_knocks() const {
    return accepting_ && backlog_ != nullptr && !backlog_->empty();
  }
  [[nodiscard]] bool anything_ready() const;
  [[nodiscard]] bool watched_is_readable() const;

  SimWorld& world_;
  SimHost host_;
  std::uint16_t port_ = 0;
  std::uint16_t next_port_ = 41000;      // Of connections from here.
  std::unique_ptr<SimBacklog> backlog_;  // Once listening.
  bool accepting_ = true;
  std::vector<Stream*> streams_;
  std::size_t next_stream_ = 0;  // Where ready() goes on.
  std::vector<int> watched_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace sluice::sim
