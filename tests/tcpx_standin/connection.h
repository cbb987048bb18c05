// A connection of the TCPX profile while it is made: by a detached thread that nobody can stop, one
// socket after the other, the control socket first. Nobody proves anything to anybody: whoever
// reaches the ports can break it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/tcpx_standin/knobs.h"
#include "tests/tcpx_standin/sockets.h"

namespace sluice::standin {

// What listen puts into the caller's handle, in TCPX's places; connect keeps its state pointer in
// the last one, so that the handle must stay where it is and be zero there at first.
struct Handle {
  std::array<std::byte, 28> data_address;
  std::int32_t first_port;
  std::int32_t ports;
  std::int32_t sockets;
  std::int32_t threads;
  std::int32_t redirect_control;
  std::array<std::byte, 28> control_address;
  std::uint32_t unused;
  void* connecting;
};
static_assert(sizeof(Handle) == 88 && offsetof(Handle, sockets) == 36 &&
              offsetof(Handle, control_address) == 48 && offsetof(Handle, connecting) == 80);

class Connection {
 public:
  struct Sockets {
    Socket control;
    std::vector<Socket> data;
  };
  enum class State : std::uint8_t { kMaking, kMade, kFailed };

  // The two listening sockets; shared with the accepting thread.
  struct Ports {
    Socket data;
    Socket control;
    std::uint32_t sockets;
  };

  static std::shared_ptr<Connection> accept(std::shared_ptr<const Ports> ports, const Knobs& knobs);
  static std::shared_ptr<Connection> connect(const Handle& handle, const Knobs& knobs);

  [[nodiscard]] State state();
  // Once, when it is made.
  [[nodiscard]] Sockets take();

 private:
  using Making = std::function<std::optional<Sockets>()>;
  static std::shared_ptr<Connection> start(Making making);

  std::mutex mutex_;
  State state_ = State::kMaking;
  Sockets sockets_;
};

}  // namespace sluice::standin
