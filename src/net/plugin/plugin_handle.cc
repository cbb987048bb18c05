#include "src/net/plugin/plugin_handle.h"

#include <fmt/format.h>

#include <algorithm>

#include "src/base/bytes.h"

namespace sluice {
namespace {

constexpr std::uint32_t kMagic = 0x48504c53;  // "SLPH"

// Where GPUDirect-TCPX's connect() keeps the address of its state, and nothing behind it is used.
constexpr std::size_t kTcpxState = 80;

// FNV-1a: finds accidents. Who means harm cannot make a handle without the engines' secret.
std::uint64_t checksum_of(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0xcbf29ce484222325;
  for (const std::byte byte : bytes) sum = (sum ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3;
  return sum;
}

Status not_a_handle(std::string message) { return {StatusCode::kProtocol, std::move(message)}; }

}  // namespace

WrappedHandle wrap_handle(const PluginHandle& handle, int table_version) {
  WrappedHandle wrapped;
  ByteWriter out(wrapped);
  out.u32(kMagic);
  out.u32(static_cast<std::uint32_t>(table_version));
  out.u64(checksum_of(handle));
  out.bytes(handle);
  return wrapped;
}

Result<PluginHandle> unwrap_handle(std::span<const std::byte> bytes, int table_version,
                                   bool is_tcpx) {
  ByteReader in(bytes);
  const std::uint32_t magic = in.u32();
  const std::uint32_t version = in.u32();
  const std::uint64_t checksum = in.u64();
  const auto raw = in.bytes(nccl_abi::kHandleBytes);
  if (!in.finished() || magic != kMagic || checksum != checksum_of(raw)) {
    return not_a_handle(fmt::format("{} bytes that are no handle of a plugin", bytes.size()));
  }
  if (version != static_cast<std::uint32_t>(table_version)) {
    return not_a_handle(
        fmt::format("a handle of a plugin's table v{}, this end's is v{}", version, table_version));
  }
  PluginHandle handle;
  std::copy(raw.begin(), raw.end(), handle.begin());
  if (is_tcpx && std::any_of(handle.begin() + kTcpxState, handle.end(),
                             [](std::byte b) { return b != std::byte{0}; })) {
    return not_a_handle("a handle with something where the plugin keeps an address of its own");
  }
  return handle;
}

}  // namespace sluice
