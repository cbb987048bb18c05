#include "src/net/tcp/host_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace sluice {
namespace {

struct FreeAddrinfo {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
struct FreeIfaddrs {
  void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
};
using InterfaceList = std::unique_ptr<ifaddrs, FreeIfaddrs>;

InterfaceList interfaces() {
  ifaddrs* list = nullptr;
  return InterfaceList(::getifaddrs(&list) == 0 ? list : nullptr);
}

// The address of one entry of the list. False: none that a socket could be bound to.
bool address_of(const ifaddrs& entry, SocketAddress& address) {
  if (entry.ifa_addr == nullptr) return false;
  if (entry.ifa_addr->sa_family == AF_INET) {
    address = SocketAddress(entry.ifa_addr, sizeof(sockaddr_in));
    return true;
  }
  if (entry.ifa_addr->sa_family == AF_INET6) {
    address = SocketAddress(entry.ifa_addr, sizeof(sockaddr_in6));
    return true;
  }
  return false;
}

Result<SocketAddress> look_up(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, FreeAddrinfo> owner(error == 0 ? list : nullptr);
  if (error != 0) {
    return Status(StatusCode::kNotFound, fmt::format("host '{}': {}", host, ::gai_strerror(error)));
  }
  // IPv4 first: a host that has both names "localhost" for IPv6 too, where servers are told to
  // listen on 127.0.0.1.
  const addrinfo* best = list;
  for (const addrinfo* one = list; one != nullptr && best->ai_family != AF_INET;
       one = one->ai_next) {
    if (one->ai_family == AF_INET) best = one;
  }
  SocketAddress address(best->ai_addr, best->ai_addrlen);
  address.set_port(port);
  return address;
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length) {
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    std::memcpy(&storage_.v4, address, sizeof(sockaddr_in));
  } else if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    std::memcpy(&storage_.v6, address, sizeof(sockaddr_in6));
    if (IN6_IS_ADDR_V4MAPPED(&storage_.v6.sin6_addr)) {
      sockaddr_in v4{};
      v4.sin_family = AF_INET;
      v4.sin_port = storage_.v6.sin6_port;
      std::memcpy(&v4.sin_addr, &storage_.v6.sin6_addr.s6_addr[12], sizeof(v4.sin_addr));
      storage_.v4 = v4;
    }
  }
}

Result<SocketAddress> SocketAddress::numeric(std::string_view host, std::uint16_t port) {
  Result<SocketAddress> address = look_up(std::string(host), port, AI_NUMERICHOST);
  if (!address.ok()) {
    return Status(StatusCode::kInvalidArgument, fmt::format("'{}' is no numeric address", host));
  }
  return address;
}

SocketAddress SocketAddress::any(sa_family_t family, std::uint16_t port) {
  SocketAddress address;
  if (family == AF_INET6) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    address.storage_.v6 = v6;
  }
  address.set_port(port);
  return address;
}

socklen_t SocketAddress::length() const {
  return family() == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

std::uint16_t SocketAddress::port() const {
  return ntohs(family() == AF_INET6 ? storage_.v6.sin6_port : storage_.v4.sin_port);
}

void SocketAddress::set_port(std::uint16_t port) {
  if (family() == AF_INET6) {
    storage_.v6.sin6_port = htons(port);
  } else {
    storage_.v4.sin_port = htons(port);
  }
}

bool SocketAddress::loopback() const {
  if (family() == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&storage_.v6.sin6_addr);
  return ntohl(storage_.v4.sin_addr.s_addr) >> 24 == 127;
}

bool SocketAddress::any_host() const {
  if (family() == AF_INET6) return IN6_IS_ADDR_UNSPECIFIED(&storage_.v6.sin6_addr);
  return storage_.v4.sin_addr.s_addr == 0;
}

bool SocketAddress::global() const {
  if (loopback() || any_host()) return false;
  if (family() == AF_INET6) return !IN6_IS_ADDR_LINKLOCAL(&storage_.v6.sin6_addr);
  return ntohl(storage_.v4.sin_addr.s_addr) >> 16 != (169u << 8 | 254u);
}

bool SocketAddress::same_host(const SocketAddress& other) const {
  if (family() != other.family()) return false;
  if (family() == AF_INET6) {
    return std::memcmp(&storage_.v6.sin6_addr, &other.storage_.v6.sin6_addr, sizeof(in6_addr)) == 0;
  }
  return storage_.v4.sin_addr.s_addr == other.storage_.v4.sin_addr.s_addr;
}

std::string SocketAddress::host() const {
  char text[NI_MAXHOST];
  if (::getnameinfo(get(), length(), text, sizeof(text), nullptr, 0, NI_NUMERICHOST) != 0) {
    return "?";
  }
  return text;
}

std::string SocketAddress::to_string() const { return format_host_port(host(), port()); }

Result<SocketAddress> local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return Status::from_errno(errno, "getsockname");
  }
  return SocketAddress(reinterpret_cast<const sockaddr*>(&storage), length);
}

Result<SocketAddress> remote_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return Status::from_errno(errno, "getpeername");
  }
  return SocketAddress(reinterpret_cast<const sockaddr*>(&storage), length);
}

Result<SocketAddress> resolve_host(const std::string& host, std::uint16_t port) {
  if (host.empty()) return Status(StatusCode::kNotFound, "the host name is empty");
  return look_up(host, port, 0);
}

Result<SocketAddress> interface_address(const std::string& name, std::uint16_t port) {
  if (::if_nametoindex(name.c_str()) == 0) {
    return Status(StatusCode::kNotFound, fmt::format("no network interface '{}'", name));
  }
  const InterfaceList list = interfaces();
  for (const sa_family_t family : {sa_family_t{AF_INET}, sa_family_t{AF_INET6}}) {
    for (const ifaddrs* entry = list.get(); entry != nullptr; entry = entry->ifa_next) {
      SocketAddress address;
      if (name != entry->ifa_name || !address_of(*entry, address)) continue;
      if (address.family() != family) continue;
      address.set_port(port);
      return address;
    }
  }
  return Status(StatusCode::kNotFound, fmt::format("interface '{}' has no address", name));
}

Result<SocketAddress> listen_address(const std::string& host, std::uint16_t port) {
  if (Result<SocketAddress> address = SocketAddress::numeric(host, port); address.ok()) {
    return address;
  }
  if (::if_nametoindex(host.c_str()) != 0) return interface_address(host, port);
  Result<SocketAddress> address = resolve_host(host, port);
  if (!address.ok()) return address.status().with_context("neither an interface nor a host");
  return address;
}

std::string interface_of(const SocketAddress& wanted) {
  const InterfaceList list = interfaces();
  for (const ifaddrs* entry = list.get(); entry != nullptr; entry = entry->ifa_next) {
    SocketAddress address;
    if (address_of(*entry, address) && address.same_host(wanted)) return entry->ifa_name;
  }
  return "";
}

std::string first_global_address() {
  const InterfaceList list = interfaces();
  for (const sa_family_t family : {sa_family_t{AF_INET}, sa_family_t{AF_INET6}}) {
    for (const ifaddrs* entry = list.get(); entry != nullptr; entry = entry->ifa_next) {
      SocketAddress address;
      if ((entry->ifa_flags & IFF_UP) == 0 || !address_of(*entry, address)) continue;
      if (address.family() == family && address.global()) return address.host();
    }
  }
  return "127.0.0.1";
}

Result<HostPort> parse_host_port(std::string_view text) {
  const auto wrong = [&](const char* what) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("'{}' is no host:port or [v6]:port: {}", text, what));
  };
  std::string_view host;
  std::string_view port_text;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return wrong("no ']'");
    host = text.substr(1, end - 1);
    if (end + 1 >= text.size() || text[end + 1] != ':') return wrong("no port after ']'");
    port_text = text.substr(end + 2);
  } else {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return wrong("no ':'");
    host = text.substr(0, colon);
    if (host.find(':') != std::string_view::npos) return wrong("IPv6 needs brackets");
    port_text = text.substr(colon + 1);
  }
  if (host.empty()) return wrong("no host");
  std::uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size()) {
    return wrong("the port is not a number from 0 to 65535");
  }
  return HostPort{std::string(host), port};
}

std::string format_host_port(std::string_view host, std::uint16_t port) {
  return host.find(':') == std::string_view::npos ? fmt::format("{}:{}", host, port)
                                                  : fmt::format("[{}]:{}", host, port);
}

}  // namespace sluice
