#include "tools/doctor/host_facts.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "src/base/fd.h"
#include "src/base/settings.h"

namespace sluice::doctor {
namespace {

// The private flag of Google's gve driver (facts of tcpgpudmarxd: it sets this flag).
constexpr char kHeaderSplit[] = "enable-strict-header-split";
constexpr std::uint32_t kMostFlags = 32;  // ETHTOOL_GPFLAGS is one word.
constexpr std::size_t kNames = kMostFlags * ETH_GSTRING_LEN;

bool ask_ethtool(int fd, const std::string& nic, void* request) {
  ifreq question{};
  std::memcpy(question.ifr_name, nic.data(), std::min(nic.size(), sizeof(question.ifr_name) - 1));
  question.ifr_data = static_cast<char*>(request);
  return ::ioctl(fd, SIOCETHTOOL, &question) == 0;
}

// The private flag of that name, if the driver has it.
std::optional<bool> private_flag(const std::string& nic, const char* flag) {
  const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_drvinfo about{};
  about.cmd = ETHTOOL_GDRVINFO;
  if (!fd.valid() || !ask_ethtool(fd.get(), nic, &about)) return std::nullopt;
  const std::uint32_t count = std::min<std::uint32_t>(about.n_priv_flags, kMostFlags);
  // The names follow the request.
  alignas(ethtool_gstrings) std::array<char, sizeof(ethtool_gstrings) + kNames> strings{};
  ethtool_gstrings request{};
  request.cmd = ETHTOOL_GSTRINGS;
  request.string_set = ETH_SS_PRIV_FLAGS;
  request.len = count;
  std::memcpy(strings.data(), &request, sizeof(request));
  ethtool_value values{};
  values.cmd = ETHTOOL_GPFLAGS;
  if (count == 0 || !ask_ethtool(fd.get(), nic, strings.data()) ||
      !ask_ethtool(fd.get(), nic, &values)) {
    return std::nullopt;
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    const char* name = strings.data() + sizeof(request) + i * ETH_GSTRING_LEN;
    if (::strncmp(name, flag, ETH_GSTRING_LEN) == 0) return (values.data >> i & 1) != 0;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> HostFiles::line(const std::string& path) const {
  std::ifstream file(root_ + path);
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  return text;
}

std::optional<std::uint64_t> HostFiles::last_number(const std::string& path) const {
  const auto text = line(path);
  if (!text.has_value()) return std::nullopt;
  const std::size_t space = text->find_last_of(" \t");
  const Result<std::uint64_t> number =
      parse_number(space == std::string::npos ? *text : text->substr(space + 1));
  if (!number.ok()) return std::nullopt;
  return *number;
}

std::string HostFiles::link_name(const std::string& path) const {
  std::error_code error;
  return std::filesystem::read_symlink(root_ + path, error).filename().string();
}

std::vector<NicFacts> read_nics(const HostFiles& files, const Machine& machine) {
  std::vector<NicFacts> nics;
  for (const NicPlace& nic : machine.nics) {
    const std::string folder = "/sys/class/net/" + nic.name;
    NicFacts facts;
    facts.name = nic.name;
    facts.mtu = files.last_number(folder + "/mtu");
    facts.speed_mbits = files.last_number(folder + "/speed");
    facts.state = files.line(folder + "/operstate").value_or("");
    facts.driver = files.link_name(folder + "/device/driver");
    facts.numa_node = nic.pci.numa_node;
    if (files.root().empty()) facts.header_split = private_flag(nic.name, kHeaderSplit);
    nics.push_back(std::move(facts));
  }
  return nics;
}

}  // namespace sluice::doctor
