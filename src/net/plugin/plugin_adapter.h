// The adapters behind plugin_table.h: a template over the version, in which each difference between
// versions is one `if constexpr`.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "src/base/check.h"
#include "src/net/plugin/abi_v10.h"
#include "src/net/plugin/abi_v11.h"
#include "src/net/plugin/abi_v12.h"
#include "src/net/plugin/abi_v5.h"
#include "src/net/plugin/abi_v6.h"
#include "src/net/plugin/abi_v7.h"
#include "src/net/plugin/abi_v8.h"
#include "src/net/plugin/abi_v9.h"
#include "src/net/plugin/plugin_table.h"

namespace sluice {

template <int kVersion>
struct PluginAbi;
#define SLUICE_PLUGIN_ABI(number)                                        \
  template <>                                                            \
  struct PluginAbi<number> {                                             \
    using Table = nccl_abi::v##number::Table;                            \
    using Properties = nccl_abi::v##number::Properties;                  \
    static constexpr const char* kSymbol = nccl_abi::v##number::kSymbol; \
  }
SLUICE_PLUGIN_ABI(5);
SLUICE_PLUGIN_ABI(6);
SLUICE_PLUGIN_ABI(7);
SLUICE_PLUGIN_ABI(8);
SLUICE_PLUGIN_ABI(9);
SLUICE_PLUGIN_ABI(10);
SLUICE_PLUGIN_ABI(11);
SLUICE_PLUGIN_ABI(12);
#undef SLUICE_PLUGIN_ABI

// The name of the first slot that must be filled and is not; nullptr when all are. NCCL checks the
// pointers that are left out here, and so do we; finalize it calls unchecked.
template <int kVersion>
const char* missing_slot(const typename PluginAbi<kVersion>::Table& table) {
  if (table.name == nullptr) return "name";
#define SLUICE_MANDATORY(slot, its_name) \
  if (table.slot == nullptr) return its_name
  SLUICE_MANDATORY(init, "init");
  SLUICE_MANDATORY(devices, "devices");
  SLUICE_MANDATORY(get_properties, "getProperties");
  SLUICE_MANDATORY(listen, "listen");
  SLUICE_MANDATORY(connect, "connect");
  SLUICE_MANDATORY(accept, "accept");
  SLUICE_MANDATORY(reg_mr, "regMr");
  SLUICE_MANDATORY(dereg_mr, "deregMr");
  SLUICE_MANDATORY(isend, "isend");
  SLUICE_MANDATORY(irecv, "irecv");
  SLUICE_MANDATORY(iflush, "iflush");
  SLUICE_MANDATORY(test, "test");
  SLUICE_MANDATORY(close_send, "closeSend");
  SLUICE_MANDATORY(close_recv, "closeRecv");
  SLUICE_MANDATORY(close_listen, "closeListen");
  if constexpr (kVersion >= 11) SLUICE_MANDATORY(finalize, "finalize");
#undef SLUICE_MANDATORY
  return nullptr;
}

template <int kVersion>
class PluginAdapter final : public PluginTable {
 public:
  using Table = typename PluginAbi<kVersion>::Table;
  using Properties = typename PluginAbi<kVersion>::Properties;

  explicit PluginAdapter(const Table& table) : table_(table), name_(bounded(table.name)) {
    if (name_.empty()) name_ = "unnamed";
  }

  [[nodiscard]] int version() const override { return kVersion; }
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] bool wants_consumed() const override {
    if constexpr (kVersion >= 7) return table_.irecv_consumed != nullptr;
    return false;
  }
  [[nodiscard]] std::uint64_t largest_registration() const override {
    return kVersion >= 8 ? UINT64_MAX : INT32_MAX;  // regMr's size was an int.
  }

  ResultCode init(nccl_abi::DebugLogger logger) override {
    if constexpr (kVersion >= 11) {
      return table_.init(&context_, 0, &config_, logger, nullptr);
    } else if constexpr (kVersion == 10) {
      return table_.init(logger, nullptr);
    } else {
      return table_.init(logger);
    }
  }
  ResultCode finalize() override {
    if constexpr (kVersion >= 11) return table_.finalize(context_);
    return ResultCode::kSuccess;
  }

  ResultCode devices(int* count) override { return table_.devices(count); }
  ResultCode get_properties(int device, PluginDevice& out) override;
  ResultCode listen(int device, void* handle, void** listen_comm) override {
    if constexpr (kVersion >= 11) {
      return table_.listen(context_, device, handle, listen_comm);
    } else {
      return table_.listen(device, handle, listen_comm);
    }
  }
  ResultCode connect(int device, void* handle, void** send_comm) override {
    // No plugin fills a sender's device handle, but some look through the pointer to it.
    [[maybe_unused]] nccl_abi::DeviceHandle* none = nullptr;
    if constexpr (kVersion >= 11) {
      return table_.connect(context_, device, handle, send_comm, &none);
    } else if constexpr (kVersion == 10) {
      return table_.connect(device, &config_, handle, send_comm, &none);
    } else if constexpr (kVersion >= 7) {
      return table_.connect(device, handle, send_comm, &none);
    } else {
      return table_.connect(device, handle, send_comm);
    }
  }
  ResultCode accept(void* listen_comm, void** recv_comm,
                    [[maybe_unused]] nccl_abi::DeviceHandle* storage) override {
    if constexpr (kVersion >= 7) {
      return table_.accept(listen_comm, recv_comm, &storage);
    } else {
      return table_.accept(listen_comm, recv_comm);
    }
  }

  ResultCode reg_mr(void* comm, void* data, std::size_t bytes, int type,
                    void** memory_handle) override {
    SLUICE_CHECK(bytes <= largest_registration(), "{} bytes", bytes);
    if constexpr (kVersion >= 8) {
      return table_.reg_mr(comm, data, bytes, type, memory_handle);
    } else {
      return table_.reg_mr(comm, data, static_cast<int>(bytes), type, memory_handle);
    }
  }
  ResultCode dereg_mr(void* comm, void* memory_handle) override {
    return table_.dereg_mr(comm, memory_handle);
  }

  ResultCode isend(void* send_comm, void* data, std::size_t bytes, void* memory_handle,
                   void** request) override {
    if constexpr (kVersion >= 10) {
      return table_.isend(send_comm, data, bytes, kTag, memory_handle, nullptr, request);
    } else if constexpr (kVersion == 9) {
      return table_.isend(send_comm, data, bytes, kTag, memory_handle, request);
    } else {
      return table_.isend(send_comm, data, static_cast<int>(bytes), kTag, memory_handle, request);
    }
  }
  ResultCode irecv(void* recv_comm, void* data, std::size_t bytes, void* memory_handle,
                   void** request) override {
    int tag = kTag;
    if constexpr (kVersion >= 10) {
      void* parent = nullptr;
      return table_.irecv(recv_comm, 1, &data, &bytes, &tag, &memory_handle, &parent, request);
    } else if constexpr (kVersion == 9) {
      return table_.irecv(recv_comm, 1, &data, &bytes, &tag, &memory_handle, request);
    } else {
      int size = static_cast<int>(bytes);
      return table_.irecv(recv_comm, 1, &data, &size, &tag, &memory_handle, request);
    }
  }
  ResultCode test(void* request, int* done, int* size) override {
    // NCCL hands room for a group of receives to every test, and so do we: a plugin that clears
    // all of it must not write past one int.
    std::array<int, nccl_abi::kTestSizes> sizes;
    sizes[0] = *size;
    const ResultCode code = table_.test(request, done, sizes.data());
    *size = sizes[0];
    return code;
  }
  ResultCode irecv_consumed(void* recv_comm, void* request) override {
    if constexpr (kVersion >= 7) return table_.irecv_consumed(recv_comm, 1, request);
    return ResultCode::kInvalidUsage;
  }
  ResultCode close_send(void* send_comm) override { return table_.close_send(send_comm); }
  ResultCode close_recv(void* recv_comm) override { return table_.close_recv(recv_comm); }
  ResultCode close_listen(void* listen_comm) override { return table_.close_listen(listen_comm); }

 private:
  // All of a channel's chunks are of one stream; receives are never grouped.
  static constexpr int kTag = 0;
  static constexpr std::size_t kLongestText = 200;

  static std::string bounded(const char* text) {
    return text == nullptr ? std::string() : std::string(text, ::strnlen(text, kLongestText));
  }

  const Table& table_;
  std::string name_;
  void* context_ = nullptr;                                        // From v11 on.
  nccl_abi::CommConfig config_{nccl_abi::kTrafficClassUndefined};  // From v10 on.
};

template <int kVersion>
PluginTable::ResultCode PluginAdapter<kVersion>::get_properties(int device, PluginDevice& out) {
  Properties in{};
  const ResultCode code = table_.get_properties(device, &in);
  if (code != ResultCode::kSuccess) return code;
  out.name = bounded(in.name);
  out.pci_path = bounded(in.pci_path);
  out.pointer_support = in.pointer_support;
  out.speed_mbits = in.speed;
  if constexpr (kVersion >= 7) {
    out.device_type = in.device_type;
    out.device_version = in.device_version;
  } else {
    out.device_type = nccl_abi::kDeviceHost;
    out.device_version = 0;
  }
  if constexpr (kVersion >= 9) {
    out.largest_message = std::min<std::uint64_t>(in.largest_message, nccl_abi::kLargestMessage);
  } else {
    out.largest_message = nccl_abi::kOldLargestMessage;
  }
  return code;
}

}  // namespace sluice
