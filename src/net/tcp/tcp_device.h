// What the kernel says about the network interface behind a TcpNet.
#pragma once

#include <string>

#include "src/net/net.h"

namespace sluice {

// `interface` may be "": the Net uses whichever the routes choose, and the Device is called "tcp".
// Facts that /sys does not have stay unknown.
Device tcp_device(const std::string& interface, std::uint32_t window);

}  // namespace sluice
