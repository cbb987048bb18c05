// One data socket in the making, at the sender: connects, has its congestion control chosen, and
// says hello. Never blocks.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "src/base/fd.h"
#include "src/net/net.h"
#include "src/net/tcp/data_hello.h"
#include "src/net/tcp/host_address.h"
#include "src/net/tcp/wake_set.h"

namespace sluice {

class DataConnection {
 public:
  struct Plan {
    SocketAddress remote;
    std::optional<SocketAddress> from;  // Our address, port 0; unset: as the routes choose.
    std::string congestion_control;     // As TcpNetOptions has it.
    DataHello hello;
  };
  // `wake` outlives the connection, and is told of the socket while it connects.
  DataConnection(const WakeSet& wake, Plan plan)
      : wake_(wake), plan_(std::move(plan)), hello_(encode_hello(plan_.hello)) {}
  ~DataConnection();
  DataConnection(const DataConnection&) = delete;
  DataConnection& operator=(const DataConnection&) = delete;

  // Begins to connect. A failure here is progress()'s too.
  void open() { failure_ = open_socket(); }
  // Polled until it says Made, which fills `socket` (blocking, past the hello), or Failed, which
  // fills `failure`; never after.
  MakeAnswer progress(Fd& socket, Status& failure);

  [[nodiscard]] const SocketAddress& remote() const { return plan_.remote; }

 private:
  Status open_socket();
  MakeAnswer finish_connect();  // kMade: connected.
  void configure();
  MakeAnswer say_hello();  // kMade: said.
  enum class State : std::uint8_t { kConnecting, kGreeting };

  const WakeSet& wake_;
  const Plan plan_;
  const std::array<std::byte, kHelloBytes> hello_;
  std::size_t hello_bytes_ = 0;  // Sent so far.
  std::string system_congestion_control_;
  Fd socket_;
  State state_ = State::kConnecting;
  Status failure_;
};

}  // namespace sluice
