// The NICs of this host that the plugin offers as devices, and what it says about each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sluice/status.h"
#include "src/net/tcp/host_address.h"

namespace sluice::nccl_plugin {

struct Nic {
  std::string name;      // "eth0"
  std::string pci_path;  // In /sys; "": none.
  int speed_mbits = 0;   // As NCCL has it: never 0, and 10,000 where nothing is known.
  SocketAddress address;
};

// Which of `names` a rule in the language of NCCL_SOCKET_IFNAME means: a list of prefixes
// separated by commas; with '=' before the list, of whole names; with '^' before it, all others. ""
// leaves out loopback and docker's unless there is nothing else.
std::vector<std::string> choose_interfaces(std::string_view rule,
                                           const std::vector<std::string>& names);

// The chosen ones that are up and have an address. kNotFound: none, the message says which there
// are.
Result<std::vector<Nic>> find_nics(std::string_view rule);

}  // namespace sluice::nccl_plugin
