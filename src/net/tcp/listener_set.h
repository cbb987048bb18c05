// The one listening socket of a TcpNet, and the matching of connections to Listeners by the nonce
// of their hello. Whatever else connects is told apart here: it costs one line in the log and
// nothing to anybody else.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sluice/status.h"
#include "src/base/clock.h"
#include "src/base/fd.h"
#include "src/net/tcp/data_hello.h"
#include "src/net/tcp/host_address.h"
#include "src/net/tcp/wake_set.h"

namespace sluice {

class ListenerSet {
 public:
  // Connections that have not yet said hello, beyond one for each entry that waits; one more closes
  // the oldest of them.
  static constexpr std::size_t kMostStrangers = 64;

  // A Listener as the set knows it. Its owner keeps it in place while it is in the set.
  struct Entry {
    DataNonce nonce = random_data_nonce();
    Fd socket;  // Valid once its sender has come: non-blocking, past the hello.
    DataHello hello;
    SocketAddress remote;
  };

  ListenerSet(const WakeSet& wake, const Clock& clock, Nanoseconds hello_timeout)
      : wake_(wake), clock_(clock), hello_timeout_(hello_timeout) {}

  // Listens; once. `any` is for every address, IPv6 and IPv4, otherwise `address` alone. On a port
  // of the kernel's choice.
  Status open(bool any, const SocketAddress& address);
  [[nodiscard]] bool is_open() const { return socket_.valid(); }
  [[nodiscard]] std::uint16_t port() const { return port_; }

  void add(Entry& entry);
  // Nothing if its sender has come.
  void remove(Entry& entry);

  // Accepts, reads hellos, matches. While no entry waits, connections stay in the kernel's queue.
  void progress();

 private:
  struct Pending {
    Fd socket;
    SocketAddress remote;
    Nanoseconds until = 0;
    std::array<std::byte, kHelloBytes> hello{};
    std::size_t hello_bytes = 0;
  };
  enum class Greeting : std::uint8_t { kNotYet, kFinished };

  void accept_some();
  void pause(int error);
  void watch(bool on);
  Greeting read_hello(Pending& pending);
  void match(Pending& pending);
  static void refuse(const Pending& pending, std::string_view why);

  const WakeSet& wake_;
  const Clock& clock_;
  const Nanoseconds hello_timeout_;
  Fd socket_;
  std::uint16_t port_ = 0;
  bool watched_ = false;
  Nanoseconds paused_until_ = 0;  // After running out of descriptors; 0: accepting.
  std::vector<Entry*> waiting_;
  std::vector<Pending> pending_;  // Oldest first.
};

}  // namespace sluice
