#include "src/net/striped/striped_listener.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "src/base/log.h"
#include "src/net/striped/striped_receiver.h"
#include "src/net/tcp/socket_options.h"

namespace sluice {
namespace {

// The sender has closed it, or it broke, with nothing left to read.
bool ended(const Fd& socket) {
  std::byte next{};
  const ssize_t seen = ::recv(socket.get(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
  return seen == 0 || (seen < 0 && errno != EAGAIN && errno != EINTR);
}

}  // namespace

Result<std::unique_ptr<StripedListener>> StripedListener::create(StripedNic nic,
                                                                 const Clock& clock) {
  Result<WakeSet> wake = WakeSet::create();
  if (!wake.ok()) return wake.status();
  std::unique_ptr<StripedListener> listener(
      new StripedListener(std::move(nic), clock, wake.take()));
  if (Status status = listener->open(); !status.ok()) return status;
  return listener;
}

StripedListener::StripedListener(StripedNic nic, const Clock& clock, WakeSet wake)
    : nic_(std::move(nic)),
      clock_(clock),
      wake_(std::move(wake)),
      listeners_(wake_, clock_, nic_.hello_timeout) {}

Status StripedListener::open() {
  if (Status status = listeners_.open(false, nic_.address); !status.ok()) return status;
  const DataNonce nonce = random_data_nonce();
  for (std::uint16_t i = 0; i < nic_.sockets; ++i) {
    entries_.push_back(std::make_unique<ListenerSet::Entry>());
    entries_.back()->nonce = nonce;
    listeners_.add(*entries_.back());
  }
  SocketAddress address = nic_.address;
  address.set_port(listeners_.port());
  handle_ = encode_striped_handle(
      {.sockets = nic_.sockets, .data = {.nonce = nonce, .address = address, .abilities = 0}});
  return {};
}

StripedListener::~StripedListener() {
  for (const auto& entry : entries_) listeners_.remove(*entry);
}

MakeAnswer StripedListener::accept(std::unique_ptr<StripedChannel>& channel, Status& failure) {
  if (used_) {
    failure = {StatusCode::kInvalidArgument, "this listener has made its channel"};
    return MakeAnswer::kFailed;
  }
  listeners_.progress();
  const auto come = static_cast<std::size_t>(std::count_if(
      entries_.begin(), entries_.end(), [](const auto& entry) { return entry->socket.valid(); }));
  if (come < entries_.size()) {
    failure = check_half_made(come);
    if (failure.ok()) return MakeAnswer::kNotYet;
    used_ = true;
    return MakeAnswer::kFailed;
  }
  used_ = true;
  Result<std::unique_ptr<StripedChannel>> made = make_channel();
  if (!made.ok()) {
    failure = made.status();
    return MakeAnswer::kFailed;
  }
  channel = made.take();
  return MakeAnswer::kMade;
}

Status StripedListener::check_half_made(std::size_t come) {
  if (come == 0) return {};
  if (complete_until_ == 0) complete_until_ = clock_.now() + nic_.hello_timeout;
  for (const auto& entry : entries_) {
    if (!entry->socket.valid() || !ended(entry->socket)) continue;
    return {StatusCode::kPeerLost,
            fmt::format("the sender at {} ended one of its sockets while {} of {} had come",
                        entry->remote.to_string(), come, entries_.size())};
  }
  if (clock_.now() < complete_until_) return {};
  return {StatusCode::kTimedOut,
          fmt::format("{} of {} sockets of a sender came in time", come, entries_.size())};
}

Result<std::unique_ptr<StripedChannel>> StripedListener::make_channel() {
  const ListenerSet::Entry& first = *entries_.front();
  std::set<std::uint16_t> numbers;
  std::vector<Fd> sockets;
  StripedOptions options;
  options.spin_us = nic_.spin_us;
  options.name = "from " + first.remote.to_string();
  options.thread_name = "sluice-nr";
  for (const auto& entry : entries_) {
    numbers.insert(entry->hello.features);
    if (entry->hello.sender != first.hello.sender) {
      return Status(StatusCode::kProtocol,
                    fmt::format("two senders, at {} and {}, have the same handle",
                                first.remote.to_string(), entry->remote.to_string()));
    }
    const Result<ReceivingSocket> socket =
        prepare_receiving(entry->socket.get(), nic_.receive_buffer_bytes);
    if (!socket.ok()) return socket.status();
    if (Status status = notice_dead_peer(entry->socket.get()); !status.ok()) return status;
    SLUICE_LOG(kInfo, "striped", "channel {}: rtt {} us, receive buffer {} bytes (0: automatic)",
               options.name, socket->path.rtt_us, socket->buffer_bytes);
    sockets.push_back(std::move(entry->socket));
  }
  if (numbers.size() != entries_.size() || *numbers.begin() != 1 ||
      *numbers.rbegin() != entries_.size()) {
    return Status(StatusCode::kProtocol,
                  fmt::format("the sockets of the sender at {} are not numbered from 1 to {}",
                              first.remote.to_string(), entries_.size()));
  }
  return StripedReceiver::create(std::move(sockets), std::move(options));
}

}  // namespace sluice
