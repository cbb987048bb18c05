// A control connection over TCP: a non-blocking socket in the epoll set of its TcpControlNet.
#pragma once

#include <cstdint>

#include "src/base/fd.h"
#include "src/net/control.h"
#include "src/net/tcp/host_address.h"
#include "src/net/tcp/socket_state.h"

namespace sluice {

class TcpStream final : public ByteStream {
 public:
  // `socket` is non-blocking, connected or connecting; `epoll` outlives the stream, and names it
  // by its address. `failure` is why connecting failed at once, or OK.
  TcpStream(int epoll, Fd socket, const SocketAddress& remote, Status failure);
  ~TcpStream() override;
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  IoResult read(std::span<std::byte> into) override;
  IoResult write(std::span<const std::byte> from) override;
  void end_writes() override;
  [[nodiscard]] bool delivered() const override;
  [[nodiscard]] Status failure() const override { return failure_; }
  void set_reading(bool on) override;
  [[nodiscard]] std::string local_host() const override;
  [[nodiscard]] std::string remote() const override { return remote_.to_string(); }
  [[nodiscard]] std::string diagnosis() const override { return describe_socket(socket_.get()); }

  // The epoll set says that the stream is ready, and its owner is told so.
  void named(std::uint32_t events);

 private:
  IoResult fail(int error, const char* what);
  // Puts what we wait for into the epoll set. An empty wish leaves the set: a socket that both ends
  // have closed would be ready for ever.
  void watch();

  const int epoll_;
  Fd socket_;
  const SocketAddress remote_;
  Status failure_;
  bool reading_ = true;    // The owner wants to be named for reading.
  bool ended_ = false;     // The other end has closed its side: nothing more to read.
  bool writing_ = true;    // A write is blocked, or the socket still connects.
  bool reported_ = false;  // The owner knows of failure_.
  std::uint32_t watched_ = 0;
};

}  // namespace sluice
