// What a data socket is told before bytes flow: congestion control and receive buffer, chosen by
// the path. The reasons are measurements: docs/performance.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/status.h"
#include "src/net/tcp/host_address.h"

namespace sluice {

// The way to the peer, as the kernel saw it while it connected.
struct Path {
  bool loopback = false;
  std::uint32_t rtt_us = 0;  // 0: unknown
  // One host or one rack: no queue to be careful with, so BBR's pacing timers and ever larger
  // buffers only cost.
  [[nodiscard]] bool is_short() const {
    return loopback || (rtt_us > 0 && rtt_us < kShortPathMicroseconds);
  }
  static constexpr std::uint32_t kShortPathMicroseconds = 1000;
};

// Before connect(): from the host of `source`, whose port is 0. connect() then chooses a port that
// is free towards that peer; one chosen here would have to be free towards everybody, and a host
// with many connections, or many that have just ended, has none left.
Status bind_source(int fd, const SocketAddress& source);

// Of a connected socket.
Path path_of(int fd);

// The congestion control of a socket as it is now ("bbr"), or "" if the kernel does not say.
std::string congestion_control_of(int fd);

// Before connect() or listen(): a socket that was once connected under BBR is paced for ever, under
// any other congestion control too (the kernel keeps sk_pacing_status). So "auto" begins with one
// that does not pace where the system's is BBR, and choose_congestion_control() goes back to BBR if
// the path turns out to be long. Connections that come in inherit it from the listening socket.
// Returns the system's name. Errors: the kernel refuses the name that the user wants.
Result<std::string> prepare_congestion_control(int fd, std::string_view wanted);

struct CongestionChoice {
  std::string name;  // In force now.
  const char* why;   // Static; for the log.
};
// Once connected. `wanted`: as prepare_congestion_control() had it; `system`: what
// prepare_congestion_control() returned. Of what sends alone: the receiving end's congestion
// control moves only acknowledgements.
CongestionChoice choose_congestion_control(int fd, std::string_view wanted, std::string_view system,
                                           const Path& path);

inline constexpr std::uint64_t kShortPathReceiveBuffer = 768 << 10;

// Sets the receive buffer. `wanted` bytes; 0 is kShortPathReceiveBuffer on a short path, where the
// data then stays in the cache, and the kernel's own tuning on others. Returns the bytes in force,
// 0 for the kernel's tuning: also when net.core.rmem_max forbids so much that tuning is better.
Result<std::uint64_t> set_receive_buffer(int fd, std::uint64_t wanted, const Path& path);

// A socket that came in and passed its hello becomes one that receives chunks: no delay, blocking,
// receive buffer. Returns what was found out on the way.
struct ReceivingSocket {
  Path path;
  std::uint64_t buffer_bytes;  // 0: the kernel's tuning
};
Result<ReceivingSocket> prepare_receiving(int fd, std::uint64_t wanted_buffer);

// A peer whose host has vanished breaks the connection within half a minute, as long as nothing of
// ours is unacknowledged; otherwise when the kernel gives up sending it again (tcp_retries2, about
// 15 minutes). Not TCP_USER_TIMEOUT: it also breaks the connection to a peer that lives and, for
// good reason, does not read.
Status notice_dead_peer(int fd);

Status set_no_delay(int fd);
Status set_blocking(int fd, bool on);

}  // namespace sluice
