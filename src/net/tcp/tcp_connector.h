// One Connector of a TcpNet: connects to where a handle points, and says hello.
#pragma once

#include <array>

#include "src/net/tcp/tcp_net.h"

namespace sluice {

class TcpConnector final : public Connector {
 public:
  static Result<std::unique_ptr<Connector>> create(TcpNet& net, std::span<const std::byte> handle);

  ~TcpConnector() override;

  MakeAnswer connect(std::unique_ptr<SendChannel>& channel, Status& failure) override;

 private:
  TcpConnector(TcpNet& net, const DataHandle& handle)
      : net_(net),
        remote_(handle.address),
        by_reference_(net.options_.send_by_reference && (handle.abilities & kAcknowledges) != 0),
        hello_(encode_hello({.nonce = handle.nonce})) {}

  Status open();                // Begins to connect.
  MakeAnswer finish_connect();  // kMade: connected.
  void configure();
  MakeAnswer say_hello();  // kMade: said.
  Status make_channel(std::unique_ptr<SendChannel>& channel);

  enum class State : std::uint8_t { kConnecting, kGreeting };

  TcpNet& net_;
  SocketAddress remote_;
  const bool by_reference_;
  std::string system_congestion_control_;
  std::array<std::byte, kHelloBytes> hello_;
  std::size_t hello_bytes_ = 0;  // Sent so far.
  Fd socket_;
  State state_ = State::kConnecting;
  Status failure_;
};

}  // namespace sluice
