#include "src/net/tcp/socket_state.h"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <string_view>

namespace sluice {
namespace {

// The numbers are the kernel's (include/net/tcp_states.h), as ss(8) names them.
std::string_view name_of_state(std::uint8_t state) {
  constexpr std::array<std::string_view, 13> kNames = {
      "",       "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2",  "time-wait",
      "closed", "close-wait",  "last-ack", "listen",   "closing",    "new-syn-recv"};
  return state < kNames.size() ? kNames[state] : "";
}

// Bytes in a queue of the kernel's; -1: it does not say.
int queued(int fd, unsigned long which) {
  int bytes = -1;
  return ::ioctl(fd, which, &bytes) == 0 ? bytes : -1;
}

}  // namespace

std::string describe_socket(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return "";
  return fmt::format(
      "{}, rtt {} us, {} segments allowed out, {} sent again; {} bytes sent and not acknowledged, "
      "{} bytes to read",
      name_of_state(info.tcpi_state), info.tcpi_rtt, info.tcpi_snd_cwnd, info.tcpi_total_retrans,
      queued(fd, SIOCOUTQ), queued(fd, SIOCINQ));
}

}  // namespace sluice
