#include "src/net/tcp/socket_options.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "src/base/fd.h"

namespace sluice {
namespace {

// Below this the kernel's own tuning, which goes up to tcp_rmem, is the better one.
constexpr std::uint64_t kLeastUsefulReceiveBuffer = 384 << 10;

bool set_congestion_control(int fd, std::string_view name) {
  return ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                      static_cast<socklen_t>(name.size())) == 0;
}

// In the unit of SO_RCVBUF: the kernel doubles what it is told, for its own needs.
std::uint64_t receive_buffer_of(int fd) {
  int bytes = 0;
  socklen_t length = sizeof(bytes);
  if (::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length) != 0 || bytes < 0) return 0;
  return static_cast<std::uint64_t>(bytes) / 2;
}

// What net.core.rmem_max cuts `wanted` to. Asked on a socket of its own: setting the buffer, also a
// too small one, ends the kernel's tuning of that socket for good.
std::uint64_t allowed_receive_buffer(int wanted) {
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return 0;
  ::setsockopt(probe.get(), SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
  return receive_buffer_of(probe.get());
}

}  // namespace

Status bind_source(int fd, const SocketAddress& source) {
  // Of the IP level for IPv6 sockets too. Refused (before Linux 4.2), bind() chooses the port.
  const int on = 1;
  ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  if (::bind(fd, source.get(), source.length()) == 0) return {};
  return Status::from_errno(errno, "from " + source.host());
}

Path path_of(int fd) {
  Path path;
  const Result<SocketAddress> remote = remote_address(fd);
  path.loopback = remote.ok() && remote->loopback();
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return path;
  path.rtt_us = info.tcpi_rtt;
  // An end that has measured nothing shows the largest number.
  const std::uint32_t least = info.tcpi_min_rtt;
  if (least != 0 && least != UINT32_MAX && (path.rtt_us == 0 || least < path.rtt_us)) {
    path.rtt_us = least;
  }
  return path;
}

std::string congestion_control_of(int fd) {
  char name[16] = {};  // TCP_CA_NAME_MAX
  socklen_t length = sizeof(name);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) != 0) return "";
  return std::string(name, ::strnlen(name, sizeof(name)));
}

Result<std::string> prepare_congestion_control(int fd, std::string_view wanted) {
  std::string system = congestion_control_of(fd);
  if (wanted == "system") return system;
  if (wanted != "auto") {
    if (set_congestion_control(fd, wanted)) return system;
    return Status::from_errno(errno, fmt::format("congestion control '{}'", wanted));
  }
  if (!system.starts_with("bbr")) return system;
  // Equally fast on short paths. CUBIC is what most networks are tuned for, but needs a privilege
  // where it is not in net.ipv4.tcp_allowed_congestion_control; Reno is always allowed.
  for (const char* name : {"cubic", "reno"}) {
    if (set_congestion_control(fd, name)) break;
  }
  return system;
}

CongestionChoice choose_congestion_control(int fd, std::string_view wanted, std::string_view system,
                                           const Path& path) {
  std::string now = congestion_control_of(fd);
  if (wanted == "system") return {std::move(now), "the user wants the system's"};
  if (wanted != "auto") return {std::move(now), "the user wants it"};
  if (!system.starts_with("bbr")) {
    return {std::move(now), "the system's does not pace"};
  }
  if (!path.is_short()) {
    set_congestion_control(fd, system);
    return {congestion_control_of(fd), "the path is long"};
  }
  if (now == system) {
    return {std::move(now), "the path is short, but the kernel allows no other"};
  }
  return {std::move(now), "BBR paces a short path to a fraction of its speed"};
}

Result<std::uint64_t> set_receive_buffer(int fd, std::uint64_t wanted, const Path& path) {
  const bool automatic = wanted == 0;
  if (automatic && !path.is_short()) return std::uint64_t{0};
  if (automatic) wanted = kShortPathReceiveBuffer;
  const int bytes =
      static_cast<int>(std::min<std::uint64_t>(wanted, std::numeric_limits<int>::max() / 2));
  // With the privilege, past net.core.rmem_max.
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0) {
    return receive_buffer_of(fd);
  }
  if (automatic && allowed_receive_buffer(bytes) < kLeastUsefulReceiveBuffer) {
    return std::uint64_t{0};
  }
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) != 0) {
    return Status::from_errno(errno, fmt::format("receive buffer of {} bytes", bytes));
  }
  return receive_buffer_of(fd);
}

Result<ReceivingSocket> prepare_receiving(int fd, std::uint64_t wanted_buffer) {
  if (Status status = set_no_delay(fd); !status.ok()) return status;
  if (Status status = set_blocking(fd, true); !status.ok()) return status;
  const Path path = path_of(fd);
  const Result<std::uint64_t> buffer = set_receive_buffer(fd, wanted_buffer, path);
  if (!buffer.ok()) return buffer.status();
  return ReceivingSocket{path, *buffer};
}

Status notice_dead_peer(int fd) {
  const int on = 1;
  const int idle_s = 10;
  const int interval_s = 5;
  const int probes = 4;
  if (::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0 &&
      ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s)) == 0 &&
      ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s)) == 0 &&
      ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes)) == 0) {
    return {};
  }
  return Status::from_errno(errno, "keepalive");
}

Status set_no_delay(int fd) {
  const int on = 1;
  if (::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0) return {};
  return Status::from_errno(errno, "TCP_NODELAY");
}

Status set_blocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && ::fcntl(fd, F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0) {
    return {};
  }
  return Status::from_errno(errno, "O_NONBLOCK");
}

}  // namespace sluice
