#include "src/net/tcp/tcp_connector.h"

#include "src/net/tcp/reference_stream.h"

namespace sluice {

TcpConnector::TcpConnector(TcpNet& net, const DataHandle& handle)
    : net_(net),
      by_reference_(net.options_.send_by_reference && (handle.abilities & kAcknowledges) != 0),
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
  auto stream = make_stream(std::move(socket));
  failure = stream.status();
  if (!failure.ok()) return MakeAnswer::kFailed;
  auto made = TcpSendChannel::create(net_.channels_, stream.take(), connection_.remote());
  failure = made.status();
  if (!failure.ok()) return MakeAnswer::kFailed;
  channel = made.take();
  return MakeAnswer::kMade;
}

Result<std::unique_ptr<ChunkStream>> TcpConnector::make_stream(Fd socket) const {
  if (by_reference_) return ReferenceStream::create(std::move(socket), net_.wake_);
  return std::unique_ptr<ChunkStream>(std::make_unique<SendStream>(std::move(socket)));
}

}  // namespace sluice
