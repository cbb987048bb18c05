#include "plugins/nccl/environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "src/net/striped/striped_wire.h"

namespace sluice::nccl_plugin {
namespace {

std::string_view text_of(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// 0: not set.
Result<std::uint32_t> number_of(const char* name) {
  const std::string_view text = text_of(name);
  std::uint32_t value = 0;
  if (text.empty()) return value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value >= 1 &&
      value <= kMostSockets) {
    return value;
  }
  return Status(StatusCode::kInvalidArgument,
                fmt::format("{}='{}': 1 to {}", name, text, kMostSockets));
}

// As NCCL compares the names of protocols and algorithms.
bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

// Protocols LL and LL128, algorithms other than Ring, and registered buffers of users go their own
// ways in NCCL's kernels, and NCCL itself does not turn them off. Sending straight from GPU memory
// has been seen to hang (docs/nccl-plugin.md).
std::string unpack_obstacles() {
  constexpr std::pair<const char*, std::string_view> kNeeded[] = {{"NCCL_PROTO", "Simple"},
                                                                  {"NCCL_ALGO", "Ring"},
                                                                  {"NCCL_GRAPH_REGISTER", "0"},
                                                                  {"NCCL_LOCAL_REGISTER", "0"},
                                                                  {"NCCL_NET_GDR_READ", "0"}};
  std::string missing;
  for (const auto& [name, value] : kNeeded) {
    if (!same_word(text_of(name), value)) missing += fmt::format(" {}={}", name, value);
  }
  return missing.empty() ? missing : missing.substr(1);
}

Result<NcclEnvironment> nccl_environment() {
  NcclEnvironment environment;
  environment.interfaces = text_of("NCCL_SOCKET_IFNAME");
  const Result<std::uint32_t> threads = number_of("NCCL_SOCKET_NTHREADS");
  if (!threads.ok()) return threads.status();
  const Result<std::uint32_t> each = number_of("NCCL_NSOCKS_PERTHREAD");
  if (!each.ok()) return each.status();
  if (*threads == 0 && *each == 0) return environment;
  const std::uint32_t sockets = (*threads == 0 ? 1 : *threads) * (*each == 0 ? 1 : *each);
  if (sockets > kMostSockets) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("NCCL_SOCKET_NTHREADS={} times NCCL_NSOCKS_PERTHREAD={}: at most {} "
                              "sockets a connection",
                              *threads, *each, kMostSockets));
  }
  environment.sockets = static_cast<std::uint16_t>(sockets);
  return environment;
}

}  // namespace sluice::nccl_plugin
