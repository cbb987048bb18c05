#include "src/net/tcp/tcp_net.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>

#include "src/base/check.h"
#include "src/net/tcp/socket_options.h"
#include "src/net/tcp/tcp_connector.h"
#include "src/net/tcp/tcp_device.h"
#include "src/net/tcp/tcp_listener.h"

namespace sluice {
namespace {

// TCP copies from and to any memory of the process: there is nothing to register.
class HostMemory final : public NetMemory {};

}  // namespace

TcpNet::TcpNet(TcpNetOptions options, const Clock& clock, WakeSet wake, EventFd event)
    : options_(std::move(options)),
      wake_(std::move(wake)),
      doorbell_(std::move(event)),
      listeners_(wake_, clock, options_.hello_timeout),
      channels_{.doorbell = doorbell_,
                .window = options_.window,
                .spin_us = options_.spin_us,
                .inline_bytes = options_.inline_bytes,
                .receivers = {}} {
  wake_.add(doorbell_.fd(), WakeSet::For::kReading);
}

TcpNet::~TcpNet() {
  SLUICE_CHECK(channels_.receivers.empty(), "{} channels left", channels_.receivers.size());
}

Result<std::unique_ptr<TcpNet>> TcpNet::create(TcpNetOptions options, const Clock& clock) {
  if (options.window < 1 || options.window > ChunkPump::kMostInFlight) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("window {}: 1 to {}", options.window, ChunkPump::kMostInFlight));
  }
  Result<WakeSet> wake = WakeSet::create();
  if (!wake.ok()) return wake.status();
  Result<EventFd> event = EventFd::create();
  if (!event.ok()) return event.status();
  std::unique_ptr<TcpNet> net(new TcpNet(std::move(options), clock, wake.take(), event.take()));
  if (Status status = net->find_bind_address(); !status.ok()) return status;
  if (Status status = net->check_congestion_control(); !status.ok()) return status;
  const std::string interface = net->bound_ ? interface_of(net->bind_address_) : "";
  net->devices_.push_back(tcp_device(interface, net->options_.window));
  return net;
}

Status TcpNet::find_bind_address() {
  if (options_.bind_host.empty()) return {};
  Result<SocketAddress> address = listen_address(options_.bind_host, 0);
  if (!address.ok()) return address.status().with_context("the tcp Net's address");
  bind_address_ = *address;
  bound_ = !bind_address_.any_host();
  return {};
}

// A name that the user insists on fails here, once, and not on every channel.
Status TcpNet::check_congestion_control() const {
  const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return {};  // A host without IPv4: the channels will tell.
  return prepare_congestion_control(probe.get(), options_.congestion_control).status();
}

Status TcpNet::check_device(std::uint32_t device) const {
  if (device < devices_.size()) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("device {} of the tcp Net, which has {}", device, devices_.size())};
}

Result<std::unique_ptr<NetMemory>> TcpNet::register_memory(std::span<std::byte> range,
                                                           Memory kind) {
  if (kind != Memory::kHost) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("the tcp Net moves host memory; {} bytes at {} are on a GPU",
                              range.size(), static_cast<const void*>(range.data())));
  }
  return std::unique_ptr<NetMemory>(new HostMemory);
}

Result<std::unique_ptr<Listener>> TcpNet::listen(std::uint32_t device, std::string_view reach) {
  if (Status status = check_device(device); !status.ok()) return status;
  if (!listeners_.is_open()) {
    if (Status status = listeners_.open(!bound_, bind_address_); !status.ok()) return status;
  }
  if (!bound_) return TcpListener::create(*this, reach);
  return TcpListener::create(*this, bind_address_.host());
}

Result<std::unique_ptr<Connector>> TcpNet::connect(std::uint32_t device,
                                                   std::span<const std::byte> handle) {
  if (Status status = check_device(device); !status.ok()) return status;
  return TcpConnector::create(*this, handle);
}

void TcpNet::arm() {
  channels_.armed = true;
  doorbell_.arm();
  for (TcpRecvChannel* channel : channels_.receivers) channel->stop_polling();
}

void TcpNet::disarm() {
  channels_.armed = false;
  doorbell_.disarm();
}

}  // namespace sluice
