// What a data socket is told before bytes flow: congestion control and receive buffer, chosen by
// the path. The reasons are measurements: docs/performance.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sluice/status.h"

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

// Of a connected socket.
Path path_of(int fd);

// The congestion control of a socket as it is now ("bbr"), or "" if the kernel does not say.
std::string congestion_control_of(int fd);

struct CongestionChoice {
  std::string name;  // In force now.
  const char* why;   // Static; for the log.
};
// `wanted`: "auto", "system", or a name that the kernel must take. Of what sends alone: the
// receiving end's congestion control moves only acknowledgements.
Result<CongestionChoice> choose_congestion_control(int fd, std::string_view wanted,
                                                   const Path& path);

inline constexpr std::uint64_t kShortPathReceiveBuffer = 768 << 10;

// Sets the receive buffer. `wanted` bytes; 0 is kShortPathReceiveBuffer on a short path, where the
// data then stays in the cache, and the kernel's own tuning on others. Returns the bytes in force,
// 0 for the kernel's tuning: also when net.core.rmem_max forbids so much that tuning is better.
Result<std::uint64_t> set_receive_buffer(int fd, std::uint64_t wanted, const Path& path);

Status set_no_delay(int fd);
Status set_blocking(int fd, bool on);

}  // namespace sluice
