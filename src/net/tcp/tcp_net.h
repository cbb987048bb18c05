// The built-in Net: Linux TCP. Host memory, delivered in place, one connection a channel.
//
// A Listener is a random nonce, and the address and port of the one listening socket that all
// Listeners of a TcpNet share. A sender connects there and says the nonce first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/clock.h"
#include "src/net/net.h"
#include "src/net/tcp/doorbell.h"
#include "src/net/tcp/listener_set.h"
#include "src/net/tcp/tcp_channels.h"
#include "src/net/tcp/wake_set.h"

namespace sluice {

struct TcpNetOptions {
  std::string bind_host{};                  // Address or interface; "" is every address.
  std::string congestion_control = "auto";  // "auto", "system", or a name the kernel must take.
  std::uint64_t receive_buffer_bytes = 0;   // 0: 768 KiB on short paths, else automatic.
  std::uint32_t spin_us = 100;              // How long an idle helper yields before it sleeps.
  std::uint32_t window = 16;                // Chunks in flight on a channel, 1 to 64.
  std::uint64_t inline_bytes = 128 << 10;   // Up to this, a lone chunk moves without a helper.
  bool send_by_reference = false;           // Long chunks are not copied: reference_stream.h.
  Nanoseconds hello_timeout = from_ms(5000);
};

class TcpNet final : public Net {
 public:
  // `clock` outlives the Net. kInvalidArgument: an option out of range; kNotFound: no such
  // bind_host; kSystem: out of descriptors, or a congestion control that the kernel refuses.
  static Result<std::unique_ptr<TcpNet>> create(TcpNetOptions options, const Clock& clock);
  ~TcpNet() override;

  [[nodiscard]] std::string_view name() const override { return "tcp"; }
  [[nodiscard]] const std::vector<Device>& devices() const override { return devices_; }
  Result<std::unique_ptr<NetMemory>> register_memory(std::span<std::byte> range,
                                                     Memory kind) override;
  Result<std::unique_ptr<Listener>> listen(std::uint32_t device, std::string_view reach) override;
  Result<std::unique_ptr<Connector>> connect(std::uint32_t device,
                                             std::span<const std::byte> handle) override;
  void progress() override { listeners_.progress(); }

  [[nodiscard]] int wake_fd() const override { return wake_.fd(); }
  void arm() override;
  void disarm() override;

 private:
  friend class TcpListener;
  friend class TcpConnector;

  TcpNet(TcpNetOptions options, const Clock& clock, WakeSet wake, EventFd event);
  Status find_bind_address();
  Status check_congestion_control() const;
  [[nodiscard]] Status check_device(std::uint32_t device) const;

  const TcpNetOptions options_;
  WakeSet wake_;
  Doorbell doorbell_;
  ListenerSet listeners_;
  ChannelContext channels_;
  bool bound_ = false;  // To bind_address_ alone.
  SocketAddress bind_address_;
  std::vector<Device> devices_;
};

}  // namespace sluice
