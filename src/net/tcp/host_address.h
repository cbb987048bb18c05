// Addresses of hosts: numeric ones as the kernel takes them, names and interfaces as users give
// them. Only resolve_host() and listen_address() may ask a name server, and so may block.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/status.h"

namespace sluice {

// An IPv4 or IPv6 address with a port. An IPv4 address that the kernel shows as IPv6
// ("::ffff:10.0.0.1", on sockets that listen on both) is kept as IPv4.
class SocketAddress {
 public:
  SocketAddress() = default;  // 0.0.0.0:0
  SocketAddress(const sockaddr* address, socklen_t length);

  // "10.0.0.1", "2001:db8::1", "fe80::1%eth0". kInvalidArgument: not numeric.
  static Result<SocketAddress> numeric(std::string_view host, std::uint16_t port);
  static SocketAddress any(sa_family_t family, std::uint16_t port);

  [[nodiscard]] const sockaddr* get() const { return &storage_.any; }
  [[nodiscard]] socklen_t length() const;
  [[nodiscard]] sa_family_t family() const { return storage_.any.sa_family; }
  [[nodiscard]] std::uint16_t port() const;
  void set_port(std::uint16_t port);
  [[nodiscard]] bool loopback() const;
  [[nodiscard]] bool any_host() const;  // 0.0.0.0 or ::
  // Reachable from other hosts without naming an interface: neither loopback nor link-local.
  [[nodiscard]] bool global() const;
  [[nodiscard]] bool same_host(const SocketAddress& other) const;

  [[nodiscard]] std::string host() const;       // "10.0.0.1", no port
  [[nodiscard]] std::string to_string() const;  // "10.0.0.1:20000", "[2001:db8::1]:20000"

 private:
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_{.v4 = {.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}}};
};

// Of a socket. The Status names the errno.
Result<SocketAddress> local_address(int fd);
Result<SocketAddress> remote_address(int fd);

// A name or a numeric address; IPv4 before IPv6. Blocks. kNotFound: no such host.
Result<SocketAddress> resolve_host(const std::string& host, std::uint16_t port);
// The first address of a network interface, IPv4 before IPv6. kNotFound: none, or no interface.
Result<SocketAddress> interface_address(const std::string& name, std::uint16_t port);
// What to bind to: a numeric address, an interface name, or else a name to resolve.
Result<SocketAddress> listen_address(const std::string& host, std::uint16_t port);
// The interface that has this address, or "".
std::string interface_of(const SocketAddress& address);
// The address of this host that others most likely reach: the first global one, IPv4 before IPv6;
// "127.0.0.1" when there is none.
std::string first_global_address();

struct HostPort {
  std::string host;
  std::uint16_t port;
};
// "host:port" and "[v6]:port". kInvalidArgument says what is wrong.
Result<HostPort> parse_host_port(std::string_view text);
std::string format_host_port(std::string_view host, std::uint16_t port);

}  // namespace sluice
