#include "plugins/nccl/nics.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>

#include "src/net/tcp/tcp_device.h"

namespace sluice::nccl_plugin {
namespace {

constexpr int kUnknownSpeed = 10'000;  // Mbit/s: what NCCL's own socket transport says then.

std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> parts;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) parts.push_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return parts;
}

// Those for which `wanted` says true.
template <typename Wanted>
std::vector<std::string> filter(const std::vector<std::string>& names, Wanted wanted) {
  std::vector<std::string> result;
  std::copy_if(names.begin(), names.end(), std::back_inserter(result), wanted);
  return result;
}

// Every interface that is up and has an IP address, once.
Result<std::vector<std::string>> interfaces_with_address() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return Status::from_errno(errno, "the network interfaces");
  std::vector<std::string> names;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const std::string name = entry->ifa_name;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  ::freeifaddrs(list);
  return names;
}

}  // namespace

std::vector<std::string> choose_interfaces(std::string_view rule,
                                           const std::vector<std::string>& names) {
  if (rule.empty()) {
    const auto loopback = [](const std::string& name) { return name == "lo"; };
    const auto docker = [](const std::string& name) { return name.starts_with("docker"); };
    auto chosen = filter(names, [&](const auto& name) { return !loopback(name) && !docker(name); });
    if (chosen.empty()) chosen = filter(names, docker);
    if (chosen.empty()) chosen = filter(names, loopback);
    return chosen;
  }
  const bool others = rule.front() == '^';
  if (others) rule.remove_prefix(1);
  const bool whole = !rule.empty() && rule.front() == '=';
  if (whole) rule.remove_prefix(1);
  const std::vector<std::string_view> listed = split(rule);
  return filter(names, [&](const std::string& name) {
    const bool named = std::any_of(listed.begin(), listed.end(), [&](std::string_view item) {
      return whole ? name == item : name.starts_with(item);
    });
    return named != others;
  });
}

Result<std::vector<Nic>> find_nics(std::string_view rule) {
  const Result<std::vector<std::string>> names = interfaces_with_address();
  if (!names.ok()) return names.status();
  std::vector<Nic> nics;
  for (const std::string& name : choose_interfaces(rule, *names)) {
    const Result<SocketAddress> address = interface_address(name, 0);
    if (!address.ok()) continue;
    const Device device = tcp_device(name, 1);
    Nic nic{.name = name,
            .pci_path = device.pci_path,
            .speed_mbits = static_cast<int>(device.gbits_per_s * 1000),
            .address = *address};
    if (nic.speed_mbits <= 0) nic.speed_mbits = kUnknownSpeed;
    nics.push_back(std::move(nic));
  }
  if (!nics.empty()) return nics;
  return Status(StatusCode::kNotFound,
                fmt::format("NCCL_SOCKET_IFNAME='{}' leaves no network interface of {}", rule,
                            fmt::join(*names, ", ")));
}

}  // namespace sluice::nccl_plugin
