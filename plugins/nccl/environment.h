// What NCCL users already have in their environment and expect a socket plugin to heed. The
// settings of our own that apply here (congestion control, receive buffer, spinning) are read as
// everywhere else: src/base/settings.h.
#pragma once

#include <cstdint>
#include <string>

#include "sluice/status.h"

namespace sluice::nccl_plugin {

struct NcclEnvironment {
  // NCCL_SOCKET_IFNAME: which NICs; see choose_interfaces().
  std::string interfaces;
  // NCCL_SOCKET_NTHREADS times NCCL_NSOCKS_PERTHREAD: sockets of a connection, 1 to 16. 0: neither
  // is set.
  std::uint16_t sockets = 0;
};

// What keeps NCCL's kernels from unpacking everything that arrives, as NCCL is set: the variables
// that are missing, with the values they need; "" when nothing does. What is not unpacked would be
// wrong data, so there is no UNPACK mode without them.
std::string unpack_obstacles();

// kInvalidArgument: not a number, or out of range; the message names the variable.
Result<NcclEnvironment> nccl_environment();

}  // namespace sluice::nccl_plugin
