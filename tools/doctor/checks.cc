#include "tools/doctor/checks.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "src/base/cores.h"

namespace sluice::doctor {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
// What gVNIC takes on A3-High, and what Google's guides set there: an 8 KiB page and headers.
constexpr std::uint64_t kA3Mtu = 8244;
constexpr std::uint64_t kEthernetMtu = 1500;

Finding ok(std::string check, std::string seen) {
  return {std::move(check), Verdict::kOk, std::move(seen), "", ""};
}
Finding unknown(std::string check, std::string seen) {
  return {std::move(check), Verdict::kUnknown, std::move(seen), "", ""};
}

Finding check_state(const NicFacts& nic) {
  const std::string check = nic.name + " state";
  if (nic.state == "up") return ok(check, "up");
  if (nic.state.empty() || nic.state == "unknown") return unknown(check, "not told");
  return {check, Verdict::kWarning, nic.state, "nothing is sent or received over it",
          fmt::format("ip link set {} up", nic.name)};
}

Finding check_mtu(const NicFacts& nic) {
  const std::string check = nic.name + " mtu";
  if (!nic.mtu.has_value()) return unknown(check, "not told");
  const bool fast = nic.speed_mbits.value_or(0) >= 10'000 && nic.speed_mbits < UINT32_MAX;
  const std::uint64_t wanted = nic.driver == "gve" ? kA3Mtu : fast ? 9000 : kEthernetMtu;
  const std::string seen = fmt::format("{}", *nic.mtu);
  if (*nic.mtu >= wanted) return ok(check, seen);
  return {check, Verdict::kWarning, seen,
          "small packets cost CPU for each; device memory wants a page a packet. Change it at both "
          "ends and in the network between",
          fmt::format("ip link set {} mtu {}", nic.name, wanted)};
}

Finding check_speed(const NicFacts& nic) {
  const std::string check = nic.name + " speed";
  // An interface that is down says -1, which reads as a large number or as none.
  if (!nic.speed_mbits.has_value() || *nic.speed_mbits >= UINT32_MAX) {
    return unknown(check, "not told by the driver");
  }
  const std::string seen = fmt::format("{} Gbit/s", static_cast<double>(*nic.speed_mbits) / 1000);
  if (*nic.speed_mbits >= 10'000) return ok(check, seen);
  return {check, Verdict::kWarning, seen, "one core moves more than that",
          fmt::format("ethtool {}", nic.name)};
}

Finding check_header_split(const NicFacts& nic) {
  const std::string check = nic.name + " header split";
  if (!nic.header_split.has_value()) {
    return unknown(check, fmt::format("driver {} has no such flag",
                                      nic.driver.empty() ? "(unknown)" : nic.driver));
  }
  if (*nic.header_split) return ok(check, "on");
  return {check, Verdict::kWarning, "off",
          "GPUDirect-TCPX receives payload into GPU memory only with it; rxdm turns it on",
          "start rxdm (tcpgpudmarxd), then look again with: ethtool --show-priv-flags " + nic.name};
}

Finding at_least(const HostFiles& files, const char* name, std::uint64_t wanted, const char* why,
                 const std::string& value) {
  std::string path = std::string("/proc/sys/") + name;
  std::replace(path.begin() + 10, path.end(), '.', '/');
  const auto number = files.last_number(path);
  if (!number.has_value()) return unknown(name, "not told in this network namespace");
  const std::string seen = fmt::format("{}", *number);
  if (*number >= wanted) return ok(name, seen);
  return {name, Verdict::kWarning, seen, why, fmt::format("sysctl -w {}=\"{}\"", name, value)};
}

bool has_word(const std::string& list, std::string_view word) {
  return (" " + list + " ").find(fmt::format(" {} ", word)) != std::string::npos;
}

Finding check_congestion(const HostFiles& files) {
  const char* check = "congestion control";
  const auto current = files.line("/proc/sys/net/ipv4/tcp_congestion_control");
  const auto allowed = files.line("/proc/sys/net/ipv4/tcp_allowed_congestion_control");
  if (!current.has_value()) return unknown(check, "not told");
  const bool other =
      allowed.has_value() && (has_word(*allowed, "cubic") || has_word(*allowed, "reno"));
  if (!current->starts_with("bbr") || other) return ok(check, *current);
  return {check, Verdict::kWarning, *current,
          "BBR paces short paths by timers, at a third of what they can carry, and no other may be "
          "chosen",
          "sysctl -w net.ipv4.tcp_allowed_congestion_control=\"reno cubic bbr\""};
}

Finding check_huge_pages(const HostFiles& files) {
  const char* check = "transparent huge pages";
  const auto line = files.line("/sys/kernel/mm/transparent_hugepage/enabled");
  if (!line.has_value()) return unknown(check, "not told");
  if (line->find("[never]") == std::string::npos) return ok(check, *line);
  return {check, Verdict::kWarning, *line, "copies of long messages miss the TLB on every page",
          "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"};
}

Finding check_governor(const HostFiles& files) {
  const char* check = "CPU frequency";
  const auto governor = files.line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  if (!governor.has_value()) return ok(check, "not governed here (as in most virtual machines)");
  if (*governor != "powersave" && *governor != "conservative") return ok(check, *governor);
  return {check, Verdict::kWarning, *governor,
          "cores that were asleep wake up slow: latency doubles and more",
          "cpupower frequency-set -g performance"};
}

Finding check_clock(const HostFiles& files) {
  const char* check = "clock";
  const auto source =
      files.line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  if (!source.has_value()) return unknown(check, "not told");
  for (const std::string_view slow : {"hpet", "acpi_pm", "jiffies", "refined-jiffies", "xen"}) {
    if (*source == slow) {
      return {check, Verdict::kWarning, *source,
              "reading it is a system call or worse, and every pass reads it",
              "cat /sys/devices/system/clocksource/clocksource0/available_clocksource; boot with "
              "clocksource=tsc"};
    }
  }
  return ok(check, *source);
}

std::vector<std::uint32_t> numbers_of(const cpu_set_t& set) {
  std::vector<std::uint32_t> result;
  for (std::uint32_t core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) result.push_back(core);
  }
  return result;
}

bool may_use(const Limits& limits, const std::string& cores) {
  const auto set = parse_cores(cores);
  return !set.ok() || std::any_of(limits.cores.begin(), limits.cores.end(),
                                  [&](std::uint32_t core) { return CPU_ISSET(core, &*set); });
}

}  // namespace

Findings check_nics(const std::vector<NicFacts>& nics, const Machine& machine) {
  if (nics.empty()) {
    return {unknown("NICs", "no physical one is to be seen, as in a container")};
  }
  Findings findings;
  for (const NicFacts& nic : nics) {
    findings.push_back(check_state(nic));
    findings.push_back(check_mtu(nic));
    findings.push_back(check_speed(nic));
    if (nic.driver == "gve" || nic.header_split.has_value()) {
      findings.push_back(check_header_split(nic));
    }
    const std::string check = nic.name + " NUMA node";
    if (nic.numa_node >= 0 || machine.nodes.size() < 2) {
      findings.push_back(ok(check, fmt::format("{}", std::max(nic.numa_node, 0))));
    } else {
      findings.push_back({check, Verdict::kWarning, "not told",
                          "progress threads cannot be put near it by themselves",
                          "sluice topo; then --map gpu0=" + nic.name + " and --cores LIST"});
    }
  }
  return findings;
}

Findings check_kernel(const HostFiles& files) {
  return {
      // The receive buffer of a data socket on a short path (docs/nets.md).
      at_least(files, "net.core.rmem_max", 768 << 10,
               "a receive buffer that stays in the cache cannot be asked for", "16777216"),
      at_least(files, "net.ipv4.tcp_rmem", 4 * kMiB,
               "a connection holds no more than this on its way: it limits long paths",
               "4096 131072 16777216"),
      at_least(files, "net.ipv4.tcp_wmem", 4 * kMiB,
               "a connection sends no more than this ahead: it limits long paths",
               "4096 65536 16777216"),
      check_congestion(files),
      check_huge_pages(files),
      check_governor(files),
      check_clock(files),
  };
}

Limits read_limits() {
  Limits limits;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) limits.descriptors = limit.rlim_cur;
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    limits.locked_bytes = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) limits.cores = numbers_of(set);
  return limits;
}

Findings check_limits(const Limits& limits, const Machine& machine, bool pins_memory) {
  // A socket a channel and a few descriptors a peer: 64 peers with 8 channels both ways.
  constexpr std::uint64_t kDescriptors = 1024;
  // Bounce pools and staging of a few channels.
  constexpr std::uint64_t kLocked = 512 * kMiB;
  Findings findings;
  findings.push_back(ok("open files", fmt::format("{}", limits.descriptors)));
  if (limits.descriptors < kDescriptors) {
    findings.back() = {"open files", Verdict::kWarning, fmt::format("{}", limits.descriptors),
                       "every channel is a socket, at both ends", "ulimit -n 65536"};
  }
  const std::string locked = limits.locked_bytes == UINT64_MAX
                                 ? "no limit"
                                 : fmt::format("{} MiB", limits.locked_bytes / kMiB);
  findings.push_back(ok("locked memory", locked));
  if (pins_memory && limits.locked_bytes < kLocked) {
    findings.back() = {"locked memory", Verdict::kWarning, locked,
                       "plugins and GPUs pin what they receive into", "ulimit -l unlimited"};
  }
  for (const NumaNode& node : machine.nodes) {
    const std::string check = fmt::format("cores of node {}", node.id);
    if (may_use(limits, node.cpus)) {
      findings.push_back(ok(check, node.cpus));
    } else {
      findings.push_back({check, Verdict::kWarning, node.cpus + ", none of them for this process",
                          "engines of NICs on this node run on another, across the memory bus",
                          "start without taskset, or give the container these cores"});
    }
  }
  return findings;
}

Findings check_gpus(const HostFiles& files, const Machine& machine, std::uint32_t usable) {
  if (machine.gpus.empty() && usable == 0) return {ok("GPUs", "none: engines of host memory")};
  Findings findings;
  const auto version = files.line("/proc/driver/nvidia/version");
  const std::string seen = fmt::format("{} on the bus, {} for CUDA", machine.gpus.size(), usable);
  if (usable == 0) {
    findings.push_back({"GPUs", Verdict::kFailure, seen,
                        "GPU memory cannot be moved without the driver's library (libcuda.so.1)",
                        version.has_value() ? "give the container the GPUs: --gpus all"
                                            : "install the NVIDIA driver; check with nvidia-smi"});
  } else {
    findings.push_back(ok("GPUs", seen));
  }
  if (!version.has_value()) {
    findings.push_back(unknown("GPU driver", "not told"));
    return findings;
  }
  findings.push_back(ok("GPU driver", version->substr(version->find_first_not_of(" "))));
  if (version->find("Open Kernel Module") != std::string::npos) {
    findings.push_back(ok("dma-buf", "the open kernel module hands them out"));
  } else {
    findings.push_back({"dma-buf", Verdict::kWarning, "not the open kernel module",
                        "only that one lets a NIC's driver into GPU memory as a dma-buf",
                        "install the driver's open flavour (nvidia-open)"});
  }
  return findings;
}

}  // namespace sluice::doctor
