#include "plugins/nccl/environment.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

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

}  // namespace

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
