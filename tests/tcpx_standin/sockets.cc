#include "tests/tcpx_standin/sockets.h"

#include <ifaddrs.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace sluice::standin {
namespace {

constexpr int kBacklog = 16384;

// Where nobody listens, a connect that happens to begin at the very port it goes to meets itself,
// and waits for ever for an answer from itself.
bool met_itself(const Socket& socket, const sockaddr_in& to) {
  sockaddr_in own{};
  socklen_t length = sizeof(own);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &length);
  return own.sin_port == to.sin_port && own.sin_addr.s_addr == to.sin_addr.s_addr;
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

std::optional<sockaddr_in> address_of(const std::string& interface) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  std::optional<sockaddr_in> found;
  for (const ifaddrs* each = all; each != nullptr && !found; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    if (interface == each->ifa_name) found = *reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
  }
  ::freeifaddrs(all);
  if (found) found->sin_port = 0;
  return found;
}

Socket listen_on(sockaddr_in& address, bool blocking) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0));
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof(address);
  if (!socket.valid() || ::bind(socket.get(), generic, length) != 0 ||
      ::listen(socket.get(), kBacklog) != 0 || ::getsockname(socket.get(), generic, &length) != 0) {
    return {};
  }
  return socket;
}

Socket connect_to(const sockaddr_in& to, unsigned tries) {
  for (; tries > 0; --tries) {
    Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int one = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
      if (!met_itself(socket, to)) return socket;
    } else if (errno != ECONNREFUSED) {
      break;
    }
    ::usleep(1000);
  }
  return {};
}

bool send_all(int fd, const void* from, std::size_t bytes) {
  const auto* next = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t sent = ::send(fd, next, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    next += sent;
    bytes -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool receive_all(int fd, void* into, std::size_t bytes) {
  auto* next = static_cast<char*>(into);
  while (bytes > 0) {
    const ssize_t received = ::recv(fd, next, bytes, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    next += received;
    bytes -= static_cast<std::size_t>(received);
  }
  return true;
}

}  // namespace sluice::standin
