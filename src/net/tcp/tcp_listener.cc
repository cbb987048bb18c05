#include "src/net/tcp/tcp_listener.h"

#include <fmt/format.h>

#include "src/base/log.h"
#include "src/net/tcp/socket_options.h"

namespace sluice {

Result<std::unique_ptr<Listener>> TcpListener::create(TcpNet& net, std::string_view host) {
  Result<SocketAddress> address = SocketAddress::numeric(host, net.listeners_.port());
  if (!address.ok()) {
    return address.status().with_context("where the peer is to connect for its data");
  }
  return std::unique_ptr<Listener>(new TcpListener(net, *address));
}

TcpListener::TcpListener(TcpNet& net, const SocketAddress& address)
    : net_(net),
      handle_(
          encode_handle({.nonce = entry_.nonce, .address = address, .abilities = kAcknowledges})) {
  net_.listeners_.add(entry_);
}

MakeAnswer TcpListener::accept(std::unique_ptr<RecvChannel>& channel, Status& failure) {
  if (!entry_.socket.valid()) return MakeAnswer::kNotYet;
  Result<std::unique_ptr<RecvChannel>> made = make_channel();
  if (!made.ok()) {
    failure = made.status();
    return MakeAnswer::kFailed;
  }
  channel = made.take();
  return MakeAnswer::kMade;
}

Result<std::unique_ptr<RecvChannel>> TcpListener::make_channel() {
  if (entry_.hello.features != 0) {
    return Status(StatusCode::kProtocol,
                  fmt::format("the sender at {} wants features {:#x}", entry_.remote.to_string(),
                              entry_.hello.features));
  }
  const int fd = entry_.socket.get();
  if (Status status = set_no_delay(fd); !status.ok()) return status;
  if (Status status = set_blocking(fd, true); !status.ok()) return status;
  const Path path = path_of(fd);
  const Result<std::uint64_t> buffer =
      set_receive_buffer(fd, net_.options_.receive_buffer_bytes, path);
  if (!buffer.ok()) return buffer.status();
  SLUICE_LOG(kInfo, "tcp", "channel {} from {}: rtt {} us, receive buffer {} bytes (0: automatic)",
             net_.channels_.channels_made, entry_.remote.to_string(), path.rtt_us, *buffer);
  return TcpRecvChannel::create(net_.channels_, std::move(entry_.socket), entry_.remote);
}

}  // namespace sluice
