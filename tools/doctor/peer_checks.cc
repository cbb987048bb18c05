#include "tools/doctor/peer_checks.h"

#include <fmt/format.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "src/base/fd.h"
#include "src/base/settings.h"
#include "src/net/tcp/host_address.h"
#include "src/net/tcp/socket_options.h"
#include "tools/perf/client.h"
#include "tools/perf_common.h"
#include "tools/stop.h"

namespace sluice::doctor {
namespace {

constexpr int kConnectMs = 3000;  // A lost SYN is sent again after one second, then after two.

// A TCP connection to `remote`; from `local` if that is given.
PathFacts look_at_path(const SocketAddress* local, const SocketAddress& remote) {
  PathFacts path;
  const auto failed = [&](int error) {
    path.error = std::strerror(error);
    return path;
  };
  const Fd fd(::socket(remote.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return failed(errno);
  if (local != nullptr) {
    if (const Status status = bind_source(fd.get(), *local); !status.ok()) {
      path.error = status.message();
      return path;
    }
  }
  if (::connect(fd.get(), remote.get(), remote.length()) != 0 && errno != EINPROGRESS) {
    return failed(errno);
  }
  pollfd waiting{fd.get(), POLLOUT, 0};
  if (::poll(&waiting, 1, kConnectMs) == 0) return failed(ETIMEDOUT);
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return failed(error);
  tcp_info info{};
  length = sizeof(info);
  if (::getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return failed(errno);
  path.rtt_ms = info.tcpi_rtt / 1000.0;
  path.path_mtu = info.tcpi_pmtu;
  if (const auto own = local_address(fd.get()); own.ok()) {
    const std::string nic = interface_of(*own);
    path.local_mtu = static_cast<std::uint32_t>(
        HostFiles().last_number("/sys/class/net/" + nic + "/mtu").value_or(0));
  }
  return path;
}

SegmentCounts segments_now() {
  std::ifstream file("/proc/net/snmp");
  return parse_segments(std::string(std::istreambuf_iterator<char>(file), {}));
}

// Both phases of two sizes, in about two seconds.
Result<std::vector<perf::ResultRow>> measure_quickly(const tools::Target& target,
                                                     const tools::InForce& in_force) {
  PerfOptions options = in_force.perf();
  options.perf_size = "8,4M";
  options.perf_phase_ms = 400;
  options.perf_iterations = 0;
  const auto plan = perf::make_plan(options, false);
  if (!plan.ok()) return plan.status();
  auto client = perf::Client::connect({.engine = in_force.options(),
                                       .address = target.address,
                                       .server = target.name,
                                       .interrupted = tools::stop_requested,
                                       .on_busy_server = tools::say_that_it_waits});
  if (!client.ok()) return client.status();
  std::vector<perf::ResultRow> rows;
  for (const std::uint64_t size : plan->sizes) {
    auto row = (*client)->measure(size, *plan, [](perf::Phase) {});
    if (!row.ok()) return row.status();
    rows.push_back(row.take());
  }
  return rows;
}

}  // namespace

Finding judge_path(const std::string& check, const PathFacts& path, std::uint16_t port) {
  if (!path.error.empty()) {
    return {check, Verdict::kFailure, path.error, "no engine there can be reached this way",
            fmt::format("start `sluice perf server` there; let TCP port {}, and all above 1023 for "
                        "channels, through every firewall between",
                        port)};
  }
  const std::string seen = fmt::format("RTT {:.3f} ms, path MTU {}", path.rtt_ms, path.path_mtu);
  if (path.local_mtu > path.path_mtu && path.path_mtu > 0) {
    return {check, Verdict::kWarning, fmt::format("{}, {} here", seen, path.local_mtu),
            "something on the way takes only smaller packets than this NIC sends",
            "set the same MTU at both ends and in the network between"};
  }
  return {check, Verdict::kOk, seen, "", ""};
}

Findings check_paths(const std::vector<std::string>& hosts, const std::vector<NicFacts>& nics,
                     std::uint16_t port) {
  std::vector<std::pair<std::string, SocketAddress>> locals;
  for (const NicFacts& nic : nics) {
    const auto address = interface_address(nic.name, 0);
    if (address.ok()) locals.emplace_back(nic.name, *address);
  }
  Findings findings;
  for (const std::string& host : hosts) {
    const auto remote = resolve_host(host, port);
    if (!remote.ok()) {
      findings.push_back({"to " + host, Verdict::kFailure, std::string(remote.status().message()),
                          "its name leads nowhere", "give its address, or add it to /etc/hosts"});
      continue;
    }
    if (locals.empty()) {
      findings.push_back(judge_path("to " + host, look_at_path(nullptr, *remote), port));
    }
    for (const auto& [name, local] : locals) {
      if (local.family() != remote->family()) continue;
      findings.push_back(
          judge_path(fmt::format("{} to {}", name, host), look_at_path(&local, *remote), port));
    }
  }
  return findings;
}

SegmentCounts parse_segments(std::string_view text) {
  // Two lines a protocol, names over values: "Tcp: RtoAlgorithm ...", "Tcp: 1 ...".
  const auto words_of = [&](std::size_t at) {
    std::vector<std::string_view> words;
    std::string_view line = text.substr(at, text.find('\n', at) - at);
    while (!line.empty()) {
      const std::size_t end = std::min(line.find(' '), line.size());
      words.push_back(line.substr(0, end));
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    return words;
  };
  SegmentCounts counts;
  const std::size_t names_at = text.find("Tcp: ");
  const std::size_t values_at =
      names_at == std::string_view::npos ? names_at : text.find("Tcp: ", names_at + 1);
  if (values_at == std::string_view::npos) return counts;
  const auto names = words_of(names_at);
  const auto values = words_of(values_at);
  for (std::size_t i = 0; i < std::min(names.size(), values.size()); ++i) {
    const Result<std::uint64_t> number = parse_number(values[i]);
    if (!number.ok()) continue;
    if (names[i] == "OutSegs") counts.sent = *number;
    if (names[i] == "RetransSegs") counts.again = *number;
  }
  return counts;
}

Finding judge_loss(const SegmentCounts& before, const SegmentCounts& after) {
  constexpr double kMuch = 0.001;
  const std::uint64_t sent = after.sent - before.sent;
  const std::uint64_t again = after.again - before.again;
  if (sent == 0) return {"loss", Verdict::kUnknown, "nothing was sent", "", ""};
  const double part = static_cast<double>(again) / static_cast<double>(sent);
  const std::string seen =
      fmt::format("{} of {} segments sent again ({:.3f} %)", again, sent, 100 * part);
  if (part < kMuch) return {"loss", Verdict::kOk, seen, "", ""};
  return {"loss", Verdict::kWarning, seen,
          "something drops packets: every loss stalls a connection for a round trip or more",
          "ethtool -S NIC | grep -i drop at both ends; fewer --channels; the same MTU everywhere"};
}

Findings check_transfers(const std::vector<std::string>& hosts, const tools::InForce& in_force) {
  Findings findings;
  const SegmentCounts before = segments_now();
  for (const std::string& host : hosts) {
    const auto target = tools::make_target(host, in_force);
    const auto rows = target.ok() ? measure_quickly(*target, in_force)
                                  : Result<std::vector<perf::ResultRow>>(target.status());
    const std::string check = "engine to " + host;
    if (!rows.ok()) {
      findings.push_back({check, Verdict::kFailure, std::string(rows.status().message()),
                          "a connection alone is not enough",
                          "the same --token, --net and version at both ends; let all TCP ports "
                          "above 1023 through"});
      continue;
    }
    findings.push_back({check, Verdict::kOk,
                        fmt::format("{:.2f} GB/s with {} channels, latency p50 {:.1f} us, p99 "
                                    "{:.1f} us",
                                    rows->back().gbytes_per_s, rows->back().channels,
                                    rows->front().p50_us, rows->front().p99_us),
                        "", ""});
  }
  findings.push_back(judge_loss(before, segments_now()));
  return findings;
}

}  // namespace sluice::doctor
