#include "src/net/tcp/tcp_connector.h"

namespace sluice {

TcpConnector::TcpConnector(TcpNet& net, const DataHandle& handle)
    : net_(net),
      connection_(net.wake_, {.remote = handle.address,
                              .from = net.bound_ ? std::optional(net.bind_address_) : std::nullopt,
                              .congestion_control = net.options_.congestion_control,
                              .hello = {.nonce = handle.nonce, .features = 0, .sender = 0}}) {}

Result<std::unique_ptr<Connector>> TcpConnector::create(TcpNet& net,
                                                        std::span<const std::byte> handle) {
  Result<DataHandle> decoded = decode_handle(handle);
  if (!decoded.ok()) return decoded.status();
  std::unique_ptr<TcpConnector> connector(new TcpConnector(net, *decoded));
  connector->connection_.open();
  return std::unique_ptr<Connector>(std::move(connector));
}

MakeAnswer TcpConnector::connect(std::unique_ptr<SendChannel>& channel, Status& failure) {
  Fd socket;
  const MakeAnswer answer = connection_.progress(socket, failure);
  if (answer != MakeAnswer::kMade) return answer;
  auto made = TcpSendChannel::create(net_.channels_, std::move(socket), connection_.remote());
  if (!made.ok()) {
    failure = made.status();
    return MakeAnswer::kFailed;
  }
  channel = made.take();
  return MakeAnswer::kMade;
}

}  // namespace sluice
