#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "src/base/fd.h"
#include "src/net/plugin/plugin_library.h"
#include "tools/doctor/checks.h"

namespace sluice::doctor {
namespace {

// The sockets that GPUDirect-TCPX needs of rxdm for every accept begin with this one.
constexpr char kRuleSocket[] = "rx_rule_manager";
constexpr std::string_view kTcpx = "GPUDirectTCPX";  // As the plugin calls itself.
constexpr char kRxdmFolder[] = "/run/tcpx";          // rxdm's own default.

// 0, or the errno of connecting to the socket of that path.
int connect_error(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  const int answer =
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  return answer == 0 ? 0 : errno;
}

}  // namespace

Finding check_rxdm(const std::string& folder) {
  const std::string path = folder + "/" + kRuleSocket;
  const int error = connect_error(path);
  if (error == 0) return {"rxdm", Verdict::kOk, path, "", ""};
  const std::string seen = fmt::format("{}: {}", path, std::strerror(error));
  const std::string why = "without rxdm no channel is accepted: it owns the bounce pools";
  if (folder != kRxdmFolder && connect_error(std::string(kRxdmFolder) + "/" + kRuleSocket) == 0) {
    return {"rxdm", Verdict::kFailure, seen, why,
            fmt::format("export NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX={} (it listens there)",
                        kRxdmFolder)};
  }
  return {"rxdm", Verdict::kFailure, seen, why,
          "start tcpgpudmarxd on this host before any engine; eval \"$(sluice env a3-high)\" says "
          "where its sockets are"};
}

Findings check_plugin(const std::string& net, const std::string& rxdm_folder) {
  constexpr std::string_view kPrefix = "plugin:";
  if (net == "tcp") return {{"net", Verdict::kOk, "tcp, which needs no plugin", "", ""}};
  const std::string which = net.starts_with(kPrefix) ? net.substr(kPrefix.size()) : "";
  const auto plugin = describe_plugin(which);
  if (!plugin.ok()) {
    return {{"plugin", Verdict::kFailure, std::string(plugin.status().message()),
             "no engine starts without it", "give its path: --net plugin:/path/to/libnccl-net.so"}};
  }
  Findings findings{{"plugin", Verdict::kOk,
                     fmt::format("{} table v{} of {}", plugin->name, plugin->version, plugin->file),
                     "", ""}};
  if (plugin->name.starts_with(kTcpx)) findings.push_back(check_rxdm(rxdm_folder));
  return findings;
}

}  // namespace sluice::doctor
