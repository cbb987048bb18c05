// One Listener of a TcpNet: a nonce in its ListenerSet.
#pragma once

#include "src/net/tcp/tcp_net.h"

namespace sluice {

class TcpListener final : public Listener {
 public:
  // `host` is what the handle names. kInvalidArgument: not a numeric address.
  static Result<std::unique_ptr<Listener>> create(TcpNet& net, std::string_view host);
  ~TcpListener() override { net_.listeners_.remove(entry_); }

  [[nodiscard]] std::span<const std::byte> handle() const override {
    return {handle_.bytes.data(), handle_.size};
  }
  MakeAnswer accept(std::unique_ptr<RecvChannel>& channel, Status& failure) override;

 private:
  TcpListener(TcpNet& net, const SocketAddress& address);
  Result<std::unique_ptr<RecvChannel>> make_channel();

  TcpNet& net_;
  ListenerSet::Entry entry_;
  EncodedHandle handle_;
};

}  // namespace sluice
