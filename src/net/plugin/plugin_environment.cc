#include "src/net/plugin/plugin_environment.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "src/base/log.h"
#include "src/net/plugin/abi.h"

namespace sluice {
namespace {

constexpr const char* kPlugin = "NCCL_NET_PLUGIN";
constexpr const char* kDynamicChunk = "NCCL_DYNAMIC_CHUNK_SIZE";
constexpr std::uint64_t kLeastDynamicChunk = 4096;

}  // namespace

Result<std::string> plugin_of_environment() {
  const char* value = std::getenv(kPlugin);
  if (value == nullptr) return std::string();
  const std::string text = value;
  if (text == "none" || text == "STATIC_PLUGIN" || text.find(',') != std::string::npos) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{}={} does not name one plugin; name it as net=plugin:NAME or "
                              "net=plugin:/path",
                              kPlugin, text));
  }
  return text;
}

Result<std::uint64_t> require_dynamic_chunk_bytes(std::uint64_t when_unset) {
  const char* value = std::getenv(kDynamicChunk);
  if (value == nullptr) {
    const std::string text = std::to_string(when_unset);
    if (::setenv(kDynamicChunk, text.c_str(), 0) != 0) {
      return Status::from_errno(errno, kDynamicChunk);
    }
    SLUICE_LOG(kInfo, "plugin", "{} is not set and would be 0, which stalls; set to {}",
               kDynamicChunk, text);
    return when_unset;
  }
  std::uint64_t bytes = 0;
  const char* end = value + std::strlen(value);
  const auto [stop, error] = std::from_chars(value, end, bytes);
  if (error != std::errc() || stop != end || bytes < kLeastDynamicChunk || bytes > INT32_MAX) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{}='{}': a plain number of bytes, {} to {}", kDynamicChunk, value,
                              kLeastDynamicChunk, nccl_abi::kLargestUnpack));
  }
  return bytes;
}

std::string rxdm_folder_of_environment() {
  const char* value = std::getenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX");
  return value == nullptr ? "/tmp" : value;
}

}  // namespace sluice
