// One internal form for the tables of all versions of the plugin interface: the engine's plugin Net
// knows nothing else of a plugin. What a version lacks is answered here, each difference in one
// place (plugin_adapter.h).
//
// No rule of the interface is kept here: who calls keeps requests in order, handles in place and
// windows small. Thread: as the plugin allows, which is one thread at a time per comm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "sluice/status.h"
#include "src/net/plugin/abi.h"

namespace sluice {

inline constexpr int kOldestPluginVersion = 5;
inline constexpr int kNewestPluginVersion = 12;

// A device of a plugin, of any version. Texts are bounded copies.
struct PluginDevice {
  std::string name;
  std::string pci_path;     // "" when it has none.
  int pointer_support = 0;  // nccl_abi::kPointerHost, ... ored
  int speed_mbits = 0;
  int device_type = nccl_abi::kDeviceHost;
  int device_version = 0;
  std::uint64_t largest_message = 0;  // bytes, of one isend or irecv
};

class PluginTable {
 public:
  using ResultCode = nccl_abi::ResultCode;

  virtual ~PluginTable() = default;

  [[nodiscard]] virtual int version() const = 0;
  // As the plugin says it, cut where it is long; never empty.
  [[nodiscard]] virtual std::string_view name() const = 0;
  // False: irecvConsumed is NULL, and a receive's request is free once it is done.
  [[nodiscard]] virtual bool wants_consumed() const = 0;
  // The largest `bytes` that reg_mr() takes.
  [[nodiscard]] virtual std::uint64_t largest_registration() const = 0;

  // Up to v10 this is for the process, and the plugin need not survive a second time; from v11 on
  // it is for this PluginTable.
  virtual ResultCode init(nccl_abi::DebugLogger logger) = 0;
  // Nothing up to v10.
  virtual ResultCode finalize() = 0;

  virtual ResultCode devices(int* count) = 0;
  virtual ResultCode get_properties(int device, PluginDevice& properties) = 0;
  // `handle` has nccl_abi::kHandleBytes.
  virtual ResultCode listen(int device, void* handle, void** listen_comm) = 0;
  virtual ResultCode connect(int device, void* handle, void** send_comm) = 0;
  // `storage`: where an unpacking plugin writes its device handle; nullptr for others.
  virtual ResultCode accept(void* listen_comm, void** recv_comm,
                            nccl_abi::DeviceHandle* storage) = 0;
  virtual ResultCode reg_mr(void* comm, void* data, std::size_t bytes, int type,
                            void** memory_handle) = 0;
  virtual ResultCode dereg_mr(void* comm, void* memory_handle) = 0;
  // At most the device's largest_message; NULL in `*request` says busy.
  virtual ResultCode isend(void* send_comm, void* data, std::size_t bytes, void* memory_handle,
                           void** request) = 0;
  virtual ResultCode irecv(void* recv_comm, void* data, std::size_t bytes, void* memory_handle,
                           void** request) = 0;
  // `*size` keeps its value where the plugin does not write it.
  virtual ResultCode test(void* request, int* done, int* size) = 0;
  // Only if wants_consumed().
  virtual ResultCode irecv_consumed(void* recv_comm, void* request) = 0;
  virtual ResultCode close_send(void* send_comm) = 0;
  virtual ResultCode close_recv(void* recv_comm) = 0;
  virtual ResultCode close_listen(void* listen_comm) = 0;
};

// "ncclNetPlugin_v7".
[[nodiscard]] const char* plugin_symbol(int version);

// The adapter for a table of `version`, kOldestPluginVersion to kNewestPluginVersion; `table` is
// what the symbol of that version names and outlives it. kInvalidArgument names a slot that must
// not be NULL and is.
[[nodiscard]] Result<std::unique_ptr<PluginTable>> adapt_plugin_table(int version,
                                                                      const void* table);

// "InternalError (3)".
[[nodiscard]] std::string to_string(nccl_abi::ResultCode code);

}  // namespace sluice
