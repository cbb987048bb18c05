// Makes one receiving end of a striped channel: a listening socket of its own, and a handle with a
// nonce that every socket of the sender says first. Strangers are turned away by the ListenerSet.
// One thread at a time.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/base/clock.h"
#include "src/net/net.h"
#include "src/net/striped/striped_channel.h"
#include "src/net/striped/striped_wire.h"
#include "src/net/tcp/listener_set.h"
#include "src/net/tcp/wake_set.h"

namespace sluice {

// What the channels of one NIC share.
struct StripedNic {
  SocketAddress address;                    // Where to listen and to connect from; port 0.
  std::uint16_t sockets = 1;                // Of a channel; the receiver's number counts.
  std::string congestion_control = "auto";  // As TcpNetOptions has the rest.
  std::uint64_t receive_buffer_bytes = 0;
  std::uint32_t spin_us = 100;
  Nanoseconds hello_timeout = from_ms(5000);
};

class StripedListener {
 public:
  // Listens. `clock` outlives it. kSystem: no descriptors, no such address.
  static Result<std::unique_ptr<StripedListener>> create(StripedNic nic, const Clock& clock);
  ~StripedListener();
  StripedListener(const StripedListener&) = delete;
  StripedListener& operator=(const StripedListener&) = delete;

  // Secret: whoever has it can take the channel.
  [[nodiscard]] std::span<const std::byte, kStripedHandleBytes> handle() const { return handle_; }

  // Polled until it says Made, which fills `channel`, or Failed, which fills `failure`; afterwards
  // it is Failed: a handle is good for one channel. Once the first socket has come, Failed when it
  // breaks, or when the others do not come within `hello_timeout`.
  MakeAnswer accept(std::unique_ptr<StripedChannel>& channel, Status& failure);

 private:
  StripedListener(StripedNic nic, const Clock& clock, WakeSet wake);
  Status open();
  Status check_half_made(std::size_t come);
  Result<std::unique_ptr<StripedChannel>> make_channel();

  const StripedNic nic_;
  const Clock& clock_;
  const WakeSet wake_;
  ListenerSet listeners_;
  std::vector<std::unique_ptr<ListenerSet::Entry>> entries_;  // One a socket, all with one nonce.
  std::array<std::byte, kStripedHandleBytes> handle_{};
  Nanoseconds complete_until_ = 0;  // 0: no socket has come.
  bool used_ = false;
};

}  // namespace sluice
