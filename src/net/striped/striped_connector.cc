#include "src/net/striped/striped_connector.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "src/net/striped/striped_sender.h"
#include "src/net/tcp/socket_options.h"

namespace sluice {
namespace {

std::uint64_t random_number() {
  const DataNonce nonce = random_data_nonce();
  std::uint64_t number = 0;
  std::memcpy(&number, nonce.data(), sizeof(number));
  return number;
}

}  // namespace

StripedConnector::StripedConnector(const StripedNic& nic, const StripedHandle& handle, WakeSet wake)
    : spin_us_(nic.spin_us), remote_(handle.data.address.to_string()), wake_(std::move(wake)) {
  DataConnection::Plan plan{
      .remote = handle.data.address,
      .from = {},
      .congestion_control = nic.congestion_control,
      .hello = {.nonce = handle.data.nonce, .features = 0, .sender = random_number()}};
  // An address of another family, or this host's own, cannot be reached from that of every NIC.
  if (nic.address.family() == plan.remote.family() &&
      nic.address.loopback() == plan.remote.loopback()) {
    plan.from = nic.address;
  }
  for (std::uint16_t i = 0; i < handle.sockets; ++i) {
    plan.hello.features = static_cast<std::uint16_t>(i + 1);
    connections_.push_back(std::make_unique<DataConnection>(wake_, plan));
    connections_.back()->open();
  }
}

Result<std::unique_ptr<StripedConnector>> StripedConnector::create(
    const StripedNic& nic, std::span<const std::byte> handle) {
  const Result<StripedHandle> decoded = decode_striped_handle(handle);
  if (!decoded.ok()) return decoded.status();
  Result<WakeSet> wake = WakeSet::create();
  if (!wake.ok()) return wake.status();
  return std::unique_ptr<StripedConnector>(new StripedConnector(nic, *decoded, wake.take()));
}

MakeAnswer StripedConnector::connect(std::unique_ptr<StripedChannel>& channel, Status& failure) {
  while (sockets_.size() < connections_.size()) {
    Fd socket;
    const MakeAnswer answer = connections_[sockets_.size()]->progress(socket, failure);
    if (answer != MakeAnswer::kMade) return answer;
    failure = notice_dead_peer(socket.get());
    if (!failure.ok()) return MakeAnswer::kFailed;
    sockets_.push_back(std::move(socket));
  }
  StripedOptions options;
  options.spin_us = spin_us_;
  options.name = "to " + remote_;
  options.thread_name = "sluice-ns";
  auto made = StripedSender::create(std::move(sockets_), std::move(options));
  if (!made.ok()) {
    failure = made.status();
    return MakeAnswer::kFailed;
  }
  channel = made.take();
  return MakeAnswer::kMade;
}

}  // namespace sluice
