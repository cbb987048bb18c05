#include "src/net/tcp/tcp_control.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <string>

#include "src/base/check.h"
#include "src/base/log.h"
#include "src/net/tcp/host_address.h"
#include "src/net/tcp/socket_options.h"
#include "src/net/tcp/tcp_stream.h"

namespace sluice {
namespace {

constexpr int kBacklog = 1024;
constexpr Nanoseconds kPause = from_ms(100);
constexpr std::size_t kEventsAtOnce = 64;

Result<Fd> make_socket(sa_family_t family) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Status::from_errno(errno, "socket");
  return socket;
}

// epoll_pwait2 has nanoseconds; kernels before 5.11 do not have it.
int wait_for_events(int epoll, std::span<epoll_event> events, Nanoseconds limit) {
  const timespec time{.tv_sec = limit / 1'000'000'000, .tv_nsec = limit % 1'000'000'000};
  const int most = static_cast<int>(events.size());
  const int count = ::epoll_pwait2(epoll, events.data(), most, &time, nullptr);
  if (count >= 0 || errno != ENOSYS) return count;
  constexpr Nanoseconds kLongest = from_ms(1'000'000);
  const Nanoseconds ms = (std::min(limit, kLongest) + from_ms(1) - 1) / from_ms(1);
  return ::epoll_wait(epoll, events.data(), most, static_cast<int>(ms));
}

}  // namespace

Result<std::unique_ptr<TcpControlNet>> TcpControlNet::create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Status::from_errno(errno, "epoll_create1");
  Result<EventFd> interrupt = EventFd::create();
  if (!interrupt.ok()) return interrupt.status();
  std::unique_ptr<TcpControlNet> net(new TcpControlNet(std::move(epoll), interrupt.take()));
  // The marks of what is no stream: the members themselves; nullptr for what others own.
  if (Status status = net->add(net->interrupt_.get(), &net->interrupt_); !status.ok()) {
    return status;
  }
  return net;
}

Status TcpControlNet::add(int fd, void* mark) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = mark;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return Status::from_errno(errno, fmt::format("watching descriptor {}", fd));
}

Status TcpControlNet::watch(int fd) { return add(fd, nullptr); }

Status TcpControlNet::listen(std::string_view host, std::uint16_t port) {
  SLUICE_CHECK(!listening_.valid(), "port {}", port_);
  SocketAddress address = SocketAddress::any(AF_INET6, port);
  if (!host.empty()) {
    Result<SocketAddress> found = listen_address(std::string(host), port);
    if (!found.ok()) return found.status();
    address = *found;
  }
  Result<Fd> socket = make_socket(address.family());
  if (!socket.ok() && host.empty()) {  // A host without IPv6.
    address = SocketAddress::any(AF_INET, port);
    socket = make_socket(AF_INET);
  }
  if (!socket.ok()) return socket.status();
  const int fd = socket->get();
  const int on = 1;
  const int both = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (auto system = prepare_congestion_control(fd, "auto"); !system.ok()) return system.status();
  if (host.empty() && address.family() == AF_INET6) {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both));
  }
  if (::bind(fd, address.get(), address.length()) != 0 || ::listen(fd, kBacklog) != 0) {
    return Status::from_errno(errno, fmt::format("listening on {}", address.to_string()));
  }
  const Result<SocketAddress> local = local_address(fd);
  if (!local.ok()) return local.status();
  port_ = local->port();
  listening_ = socket.take();
  watch_listening();
  return {};
}

std::unique_ptr<ByteStream> TcpControlNet::accept() {
  if (!listening_.valid() || paused_until_ != 0) return nullptr;
  for (;;) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    Fd socket(::accept4(listening_.get(), reinterpret_cast<sockaddr*>(&storage), &length,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      exhausted_ = false;
      Status status = set_no_delay(socket.get());
      return std::make_unique<TcpStream>(
          epoll_.get(), std::move(socket),
          SocketAddress(reinterpret_cast<const sockaddr*>(&storage), length), std::move(status));
    }
    if (errno == EAGAIN) return nullptr;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      pause_accepting(errno);
      return nullptr;
    }
    // Otherwise that connection broke while it was queued, or a signal came: the next one.
  }
}

void TcpControlNet::pause_accepting(int error) {
  if (!exhausted_) {
    SLUICE_LOG(kError, "tcp", "accepting control connections pauses: {}",
               Status::from_errno(error, "accept").message());
  }
  exhausted_ = true;
  paused_until_ = clock_.now() + kPause;
  watch_listening();
}

void TcpControlNet::resume_accepting() {
  if (paused_until_ == 0 || clock_.now() < paused_until_) return;
  paused_until_ = 0;
  watch_listening();
}

void TcpControlNet::set_accepting(bool on) {
  accepting_ = on;
  watch_listening();
}

// Whoever knocks while we don't accept stays in the kernel's queue, and the listening socket ready:
// it must leave the epoll set, or sleep() would not sleep.
void TcpControlNet::watch_listening() {
  const bool wanted = listening_.valid() && accepting_ && paused_until_ == 0;
  if (wanted == listening_watched_) return;
  if (!wanted) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listening_.get(), nullptr);
  } else if (!add(listening_.get(), &listening_).ok()) {
    // No memory in the kernel for it: as for any other resource, later.
    paused_until_ = clock_.now() + kPause;
    return;
  }
  listening_watched_ = wanted;
}

Result<std::unique_ptr<ByteStream>> TcpControlNet::connect(std::string_view host,
                                                           std::uint16_t port) {
  Result<SocketAddress> address = SocketAddress::numeric(host, port);
  if (!address.ok()) return address.status();
  Result<Fd> socket = make_socket(address->family());
  if (!socket.ok()) return socket.status();
  if (Status status = set_no_delay(socket->get()); !status.ok()) return status;
  // Its frames are short: nothing on it is worth pacing.
  if (auto system = prepare_congestion_control(socket->get(), "auto"); !system.ok()) {
    return system.status();
  }
  Status failure;
  if (::connect(socket->get(), address->get(), address->length()) != 0 && errno != EINPROGRESS) {
    failure = Status::from_errno(errno, fmt::format("connecting to {}", address->to_string()));
  }
  return std::unique_ptr<ByteStream>(
      std::make_unique<TcpStream>(epoll_.get(), socket.take(), *address, std::move(failure)));
}

std::size_t TcpControlNet::ready(std::span<std::uint64_t> tags) {
  resume_accepting();
  std::array<epoll_event, kEventsAtOnce> events;
  // Two more than are asked for: the interrupt and a watched descriptor name no stream.
  const std::size_t most = std::min(tags.size() + 2, events.size());
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(most), 0);
  std::size_t filled = 0;
  for (int i = 0; i < count && filled < tags.size(); ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    void* mark = event.data.ptr;
    if (mark == nullptr || mark == &interrupt_) continue;
    if (mark == &listening_) {
      tags[filled++] = kAcceptTag;
      continue;
    }
    auto* stream = static_cast<TcpStream*>(mark);
    stream->named(event.events);
    tags[filled++] = stream->tag;
  }
  return filled;
}

void TcpControlNet::sleep(std::chrono::microseconds limit) {
  resume_accepting();
  constexpr std::chrono::microseconds kLongest = std::chrono::hours(1);
  limit = std::clamp(limit, std::chrono::microseconds(0), kLongest);
  Nanoseconds time = std::chrono::nanoseconds(limit).count();
  if (paused_until_ != 0) {
    time = std::clamp<Nanoseconds>(paused_until_ - clock_.now(), 0, time);
  }
  std::array<epoll_event, kEventsAtOnce> events;
  const int count = wait_for_events(epoll_.get(), events, time);
  for (int i = 0; i < count; ++i) {
    if (events[static_cast<std::size_t>(i)].data.ptr == &interrupt_) interrupt_.clear();
  }
}

}  // namespace sluice
