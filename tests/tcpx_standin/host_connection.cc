#include "tests/tcpx_standin/host_connection.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>

#include <cerrno>

namespace sluice::standin {
namespace {

constexpr std::uint64_t kHelloMagic = 0x534c4943454e4554;
constexpr std::size_t kMostStrangers = 64;  // Beyond them the oldest is thrown out.

void set_no_delay(const Socket& socket) {
  const int one = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

}  // namespace

std::unique_ptr<HostListen> HostListen::make(const Knobs& knobs, HostHandle& handle) {
  const auto address = address_of(knobs.interface);
  if (!address) return nullptr;
  auto listen = std::make_unique<HostListen>();
  listen->knobs_ = knobs;
  listen->expected_.magic = kHelloMagic;
  handle = {};
  handle.address = *address;
  listen->socket_ = listen_on(handle.address, false);
  auto& secret = listen->expected_.secret;
  if (!listen->socket_.valid() ||
      ::getrandom(secret.data(), sizeof(secret), 0) != static_cast<ssize_t>(sizeof(secret))) {
    return nullptr;
  }
  handle.hello = listen->expected_;
  return listen;
}

ResultCode HostListen::accept(HostComm*& comm) {
  if (knobs_.faults.on(Fault::kAcceptFails)) return ResultCode::kSystemError;
  for (;;) {
    Socket socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) break;
    if (strangers_.size() == kMostStrangers) strangers_.erase(strangers_.begin());
    strangers_.push_back({std::move(socket), {}, 0});
  }
  for (auto stranger = strangers_.begin(); stranger != strangers_.end() && comm == nullptr;) {
    stranger = hear(*stranger, comm) ? strangers_.erase(stranger) : stranger + 1;
  }
  return ResultCode::kSuccess;
}

bool HostListen::hear(Stranger& stranger, HostComm*& comm) {
  auto* const hello = reinterpret_cast<std::byte*>(&stranger.hello);
  while (stranger.received < sizeof(Hello)) {
    const ssize_t received = ::recv(stranger.socket.get(), hello + stranger.received,
                                    sizeof(Hello) - stranger.received, MSG_DONTWAIT);
    if (received <= 0) return received == 0 || (errno != EAGAIN && errno != EINTR);
    stranger.received += static_cast<std::size_t>(received);
  }
  if (stranger.hello.magic == expected_.magic && stranger.hello.secret == expected_.secret) {
    set_no_delay(stranger.socket);
    comm = new HostComm(Side::kReceive, std::move(stranger.socket), knobs_);
  }
  return true;
}

HostConnect::HostConnect(const HostHandle& handle, const Knobs& knobs)
    : knobs_(knobs), handle_(handle) {
  socket_ = Socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  set_no_delay(socket_);
  failed_ = handle.hello.magic != kHelloMagic || knobs.faults.on(Fault::kConnectFails) ||
            (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&handle_.address),
                       sizeof(handle_.address)) != 0 &&
             errno != EINPROGRESS);
}

ResultCode HostConnect::poll(HostComm*& comm) {
  if (failed_) return ResultCode::kRemoteError;
  pollfd entry{socket_.get(), POLLOUT, 0};
  if (::poll(&entry, 1, 0) == 0) return ResultCode::kSuccess;
  // The first bytes of a connection: its buffer has room for them.
  if (::send(socket_.get(), &handle_.hello, sizeof(Hello), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(sizeof(Hello))) {
    return ResultCode::kRemoteError;
  }
  comm = new HostComm(Side::kSend, std::move(socket_), knobs_);
  return ResultCode::kSuccess;
}

}  // namespace sluice::standin
