// The handle of a plugin's listener, as engines carry it to the sender: the plugin's own 128 bytes
// behind a header of ours, because plugins check nothing, and one of them takes bytes of its handle
// for an address.
//
//   0  magic u32    4  version u32 of the table    8  checksum u64 of the rest    16  128 bytes
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "sluice/status.h"
#include "src/net/net.h"
#include "src/net/plugin/abi.h"

namespace sluice {

using PluginHandle = std::array<std::byte, nccl_abi::kHandleBytes>;
using WrappedHandle = std::array<std::byte, 16 + nccl_abi::kHandleBytes>;
static_assert(sizeof(WrappedHandle) <= Net::kHandleBytes);

[[nodiscard]] WrappedHandle wrap_handle(const PluginHandle& handle, int table_version);

// kProtocol: not a handle, or one of another table version; with `is_tcpx`, also one with something
// where GPUDirect-TCPX keeps the address of its own state, which its listener leaves zero.
[[nodiscard]] Result<PluginHandle> unwrap_handle(std::span<const std::byte> bytes,
                                                 int table_version, bool is_tcpx);

}  // namespace sluice
