#include "src/net/tcp/tcp_stream.h"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

namespace sluice {

TcpStream::TcpStream(int epoll, Fd socket, const SocketAddress& remote, Status failure)
    : epoll_(epoll), socket_(std::move(socket)), remote_(remote), failure_(std::move(failure)) {
  watch();
}

// Closing alone would leave the set only if no other process, forked off meanwhile, has the socket
// too; and the set names us by our address.
TcpStream::~TcpStream() {
  if (watched_ != 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, socket_.get(), nullptr);
}

void TcpStream::watch() {
  std::uint32_t wanted = 0;
  if (!reported_) {
    if (reading_ && !ended_) wanted |= EPOLLIN;
    if (writing_) wanted |= EPOLLOUT;
  }
  if (wanted == watched_) return;
  epoll_event event{};
  event.events = wanted;
  event.data.ptr = this;
  const int operation =
      wanted == 0 ? EPOLL_CTL_DEL : (watched_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
  if (::epoll_ctl(epoll_, operation, socket_.get(), &event) == 0) {
    watched_ = wanted;
  } else if (failure_.ok()) {
    failure_ = Status::from_errno(errno, fmt::format("watching {}", remote_.to_string()));
  }
}

void TcpStream::named(std::uint32_t events) {
  if ((events & ~std::uint32_t{EPOLLIN}) == 0) return;
  // For writing only once: the owner tries now, and if that blocks again, write() wishes again.
  writing_ = false;
  watch();
}

IoResult TcpStream::fail(int error, const char* what) {
  if (failure_.ok()) {
    failure_ = Status::from_errno(error, fmt::format("{} {}", what, remote_.to_string()));
  }
  reported_ = true;
  watch();
  return {IoAnswer::kFailed, 0};
}

// What came before the connection broke is handed out also when a write has met the failure first.
IoResult TcpStream::read(std::span<std::byte> into) {
  if ((ended_ || into.empty()) && !failure_.ok()) return fail(0, "");
  if (ended_) return {IoAnswer::kEnd, 0};
  if (into.empty()) return {IoAnswer::kNotYet, 0};
  for (;;) {
    const ssize_t received = ::recv(socket_.get(), into.data(), into.size(), MSG_DONTWAIT);
    if (received > 0) return {IoAnswer::kSome, static_cast<std::size_t>(received)};
    if (received < 0 && errno == EINTR) continue;
    if (!failure_.ok()) return fail(0, "");
    if (received == 0) {
      ended_ = true;
      watch();
      return {IoAnswer::kEnd, 0};
    }
    if (errno == EAGAIN) return {IoAnswer::kNotYet, 0};
    return fail(errno, "reading from");
  }
}

IoResult TcpStream::write(std::span<const std::byte> from) {
  if (!failure_.ok()) return fail(0, "");
  if (from.empty()) return {IoAnswer::kNotYet, 0};
  for (;;) {
    const ssize_t sent =
        ::send(socket_.get(), from.data(), from.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) return {IoAnswer::kSome, static_cast<std::size_t>(sent)};
    if (errno == EAGAIN) {
      writing_ = true;
      watch();
      return {IoAnswer::kNotYet, 0};
    }
    if (errno != EINTR) return fail(errno, "writing to");
  }
}

void TcpStream::end_writes() { ::shutdown(socket_.get(), SHUT_WR); }

bool TcpStream::delivered() const {
  int unacknowledged = 0;
  return ::ioctl(socket_.get(), SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
}

void TcpStream::set_reading(bool on) {
  reading_ = on;
  watch();
}

std::string TcpStream::local_host() const {
  const Result<SocketAddress> address = local_address(socket_.get());
  return address.ok() && !address->any_host() ? address->host() : "";
}

}  // namespace sluice
