// Makes one sending end of a striped channel: as many sockets as the handle asks for, all of them
// connecting at once. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/net/net.h"
#include "src/net/striped/striped_channel.h"
#include "src/net/striped/striped_listener.h"
#include "src/net/striped/striped_wire.h"
#include "src/net/tcp/data_connection.h"
#include "src/net/tcp/wake_set.h"

namespace sluice {

class StripedConnector {
 public:
  // kProtocol: not a handle of a striped channel.
  static Result<std::unique_ptr<StripedConnector>> create(const StripedNic& nic,
                                                          std::span<const std::byte> handle);

  // Polled until it says Made, which fills `channel`, or Failed, which fills `failure`; never
  // after. The receiver need not have accepted yet.
  MakeAnswer connect(std::unique_ptr<StripedChannel>& channel, Status& failure);

 private:
  StripedConnector(const StripedNic& nic, const StripedHandle& handle, WakeSet wake);

  const std::uint32_t spin_us_;
  const std::string remote_;
  const WakeSet wake_;
  std::vector<std::unique_ptr<DataConnection>> connections_;
  std::vector<Fd> sockets_;  // Of the first of them, which are made.
};

}  // namespace sluice
