// `sluice env`: what a kind of machine needs in the environment, for `eval` or a file to source.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "tools/command_line.h"
#include "tools/commands.h"

namespace sluice::tools {
namespace {

struct Export {
  const char* name;
  const char* value;
  const char* why;
};

// What Google publishes for A3-High and its TCPX plugin, and what of it a plugin Net uses.
constexpr Export kA3High[] = {
    {"SLUICE_NET", "plugin", "Move bytes over libnccl-net.so, as the loader finds it"},
    {"NCCL_DYNAMIC_CHUNK_SIZE", "524288",
     "Bytes per piece of a message; unset is 0, and nothing is ever sent. Equal on all hosts"},
    {"SLUICE_CHUNK_BYTES", "524288",
     "A chunk is one piece: the plugin loses bounce-buffer pages of a message of several"},
    {"SLUICE_WINDOW", "16", "Requests that a connection takes; one more is an error"},
    {"NCCL_NSOCKS_PERTHREAD", "4", "Data sockets per helper thread of a connection"},
    {"NCCL_SOCKET_NTHREADS", "1", "Helper threads per connection"},
    {"NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "eth1,eth2,eth3,eth4",
     "The four NICs for data; of a process with one GPU, the one beside that GPU"},
    {"NCCL_GPUDIRECTTCPX_CTRL_DEV", "eth0", "The NIC for control sockets"},
    {"NCCL_GPUDIRECTTCPX_SOCKET_FAMILY", "AF_INET", "Flow steering knows IPv4 only"},
    {"NCCL_GPUDIRECTTCPX_TX_BINDINGS",
     "eth1:8-21,112-125;eth2:8-21,112-125;eth3:60-73,164-177;eth4:60-73,164-177",
     "Cores of sending helper threads, on the NUMA node of each NIC"},
    {"NCCL_GPUDIRECTTCPX_RX_BINDINGS",
     "eth1:22-35,126-139;eth2:22-35,126-139;eth3:74-87,178-191;eth4:74-87,178-191",
     "Cores of receiving helper threads"},
    {"NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "50000",
     "Wait for steering rules at the end of each accept; the default is 5 seconds"},
    {"NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", "/run/tcpx",
     "Where rxdm (tcpgpudmarxd) listens; the plugin's default is /tmp, rxdm's is this"},
    {"NCCL_GPUDIRECTTCPX_FORCE_ACK", "0", "No acknowledgement forced when a socket runs empty"},
};

int run() {
  std::string text =
      "# sluice env a3-high: GPUDirect-TCPX on Google Cloud A3-High.  eval \"$(sluice env "
      "a3-high)\"\n"
      "# GPUs 0,1: eth1  2,3: eth2 (NUMA node 0)   4,5: eth3  6,7: eth4 (NUMA node 1)\n";
  for (const Export& entry : kA3High) {
    text += fmt::format("\n# {}.\nexport {}='{}'\n", entry.why, entry.name, entry.value);
  }
  std::fputs(text.c_str(), stdout);
  return kDone;
}

}  // namespace

void add_env_command(CLI::App& parent, Action& action) {
  CLI::App* app = parent.add_subcommand(
      "env", "Prints what a kind of machine needs in the environment, as a shell snippet");
  app->require_subcommand(1);
  CLI::App* a3_high = app->add_subcommand("a3-high", "Google Cloud A3-High with GPUDirect-TCPX");
  a3_high->callback([&action] { action = run; });
}

}  // namespace sluice::tools
