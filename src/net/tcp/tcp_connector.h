// One Connector of a TcpNet: one DataConnection to where a handle points.
#pragma once

#include "src/net/tcp/data_connection.h"
#include "src/net/tcp/tcp_net.h"

namespace sluice {

class TcpConnector final : public Connector {
 public:
  static Result<std::unique_ptr<Connector>> create(TcpNet& net, std::span<const std::byte> handle);

  MakeAnswer connect(std::unique_ptr<SendChannel>& channel, Status& failure) override;

 private:
  TcpConnector(TcpNet& net, const DataHandle& handle);
  Result<std::unique_ptr<ChunkStream>> make_stream(Fd socket) const;

  TcpNet& net_;
  const bool by_reference_;
  DataConnection connection_;
};

}  // namespace sluice
