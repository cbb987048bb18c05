// Sockets as the stand-ins use them.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace sluice::standin {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// The first IPv4 address of an interface, port 0.
[[nodiscard]] std::optional<sockaddr_in> address_of(const std::string& interface);

// Listens on an ephemeral port of `address` and fills it in. Invalid: errno says why.
[[nodiscard]] Socket listen_on(sockaddr_in& address, bool blocking);

// A blocking connect to `to`, again after 1 ms while it is refused.
[[nodiscard]] Socket connect_to(const sockaddr_in& to, unsigned tries);

// All of it, blocking. False: the connection is broken.
[[nodiscard]] bool send_all(int fd, const void* from, std::size_t bytes);
[[nodiscard]] bool receive_all(int fd, void* into, std::size_t bytes);

}  // namespace sluice::standin
