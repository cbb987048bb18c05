// The tables that NCCL looks for, ncclNetPlugin_v6 to _v12, and nothing else: arguments are checked
// and translated here, plugin.h does the work. `void*` and the owner object below are the
// interface's doing: it has no context before v11.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "plugins/nccl/comm.h"
#include "plugins/nccl/plugin.h"
#include "src/net/plugin/abi.h"
#include "src/net/plugin/abi_v10.h"
#include "src/net/plugin/abi_v11.h"
#include "src/net/plugin/abi_v12.h"
#include "src/net/plugin/abi_v6.h"
#include "src/net/plugin/abi_v7.h"
#include "src/net/plugin/abi_v8.h"
#include "src/net/plugin/abi_v9.h"

namespace sluice::nccl_plugin {
namespace {

using namespace nccl_abi;

// The sizes that test() reports are ints.
constexpr std::size_t kLargestSize = kOldLargestMessage;

// The one owner of what the process shares. Never destroyed: NCCL's threads may outlive main().
Plugin& plugin() {
  static Plugin* const instance = new Plugin(make_gpus());
  return *instance;
}

// Of the last init() before v11, which has nowhere to keep a context. One is enough: only the
// profiler is in it, and a process has one.
std::atomic<Plugin::Context*> common_context{nullptr};

std::span<std::byte, kHandleBytes> handle_bytes(void* handle) {
  return std::span<std::byte, kHandleBytes>(static_cast<std::byte*>(handle), kHandleBytes);
}

// Memory of a regMr(). Host memory needs no registration, but its end has to be told.
struct Registration {
  std::span<const std::byte> memory;
  bool of_gpu = false;
};

// -- init, devices ------------------------------------------------------------------------------

ResultCode init_common(DebugLogger logger, ProfilerCallback profiler) noexcept {
  Plugin::Context* made = nullptr;
  const ResultCode code = plugin().init(logger, profiler, &made);
  if (made != nullptr) common_context = made;
  return code;
}

ResultCode init_v6(DebugLogger logger) noexcept { return init_common(logger, nullptr); }

ResultCode init_v11(void** context, std::uint64_t, CommConfig*, DebugLogger logger,
                    ProfilerCallback profiler) noexcept {
  if (context == nullptr) return ResultCode::kInvalidArgument;
  *context = nullptr;
  Plugin::Context* made = nullptr;
  const ResultCode code = plugin().init(logger, profiler, &made);
  *context = made;
  return code;
}

ResultCode finalize(void* context) noexcept { return plugin().finalize(context); }

ResultCode devices(int* count) noexcept {
  if (count == nullptr) return ResultCode::kInvalidArgument;
  *count = static_cast<int>(plugin().nics().size());
  return ResultCode::kSuccess;
}

template <typename Properties>
ResultCode get_properties(int device, Properties* properties) noexcept {
  const std::vector<Nic>& nics = plugin().nics();
  if (properties == nullptr || device < 0 || static_cast<std::size_t>(device) >= nics.size()) {
    return ResultCode::kInvalidArgument;
  }
  const Nic& nic = nics[static_cast<std::size_t>(device)];
  *properties = {};
  // NCCL only reads the texts.
  properties->name = const_cast<char*>(nic.name.c_str());
  properties->pci_path = nic.pci_path.empty() ? nullptr : const_cast<char*>(nic.pci_path.c_str());
  properties->guid = static_cast<std::uint64_t>(device);
  properties->pointer_support = kPointerHost;
  properties->speed = nic.speed_mbits;
  properties->most_comms = 65536;
  properties->most_receives = 1;
  if constexpr (requires { properties->device_type; }) {
    properties->device_type = kDeviceHost;
    if (plugin().unpacks()) {
      properties->pointer_support = kPointerHost | kPointerCuda;
      properties->device_type = kDeviceUnpack;
      properties->device_version = kUnpackVersion;
    }
  }
  if constexpr (requires { properties->registration_is_global; }) {
    // NCCL takes it for leave to register what is the user's.
    properties->registration_is_global = plugin().unpacks() ? 0 : 1;
  }
  if constexpr (requires { properties->virtual_device; }) {
    properties->virtual_device.count = 1;
    properties->virtual_device.devices[0] = device;
    properties->largest_message = kLargestSize;
    properties->largest_collective = kLargestSize;
  }
  if constexpr (requires { properties->most_multi_request; }) properties->most_multi_request = 1;
  if constexpr (requires { properties->rail_id; }) {
    properties->rail_id = kIdUndefined;
    properties->plane_id = kIdUndefined;
  }
  return ResultCode::kSuccess;
}

// -- connections --------------------------------------------------------------------------------

ResultCode listen_v11(void* context, int device, void* handle, void** listen_comm) noexcept {
  if (handle == nullptr || listen_comm == nullptr) return ResultCode::kInvalidArgument;
  *listen_comm = nullptr;
  Plugin::Listening* listening = nullptr;
  const ResultCode code = plugin().listen(context, device, handle_bytes(handle), &listening);
  *listen_comm = listening;
  return code;
}

ResultCode listen_v6(int device, void* handle, void** listen_comm) noexcept {
  return listen_v11(common_context, device, handle, listen_comm);
}

// The device handle stays as it is, a sender has none; tables without it are of HOST mode.
ResultCode connect_v11(void* context, int device, void* handle, void** send_comm,
                       DeviceHandle** device_handle) noexcept {
  if (handle == nullptr || send_comm == nullptr) return ResultCode::kInvalidArgument;
  *send_comm = nullptr;
  Comm* comm = nullptr;
  const ResultCode code =
      plugin().connect(context, device, handle_bytes(handle), device_handle != nullptr, &comm);
  *send_comm = comm;
  return code;
}

ResultCode connect_v10(int device, CommConfig*, void* handle, void** send_comm,
                       DeviceHandle** device_handle) noexcept {
  return connect_v11(common_context, device, handle, send_comm, device_handle);
}

ResultCode connect_v7(int device, void* handle, void** send_comm,
                      DeviceHandle** device_handle) noexcept {
  return connect_v11(common_context, device, handle, send_comm, device_handle);
}

ResultCode connect_v6(int device, void* handle, void** send_comm) noexcept {
  return connect_v11(common_context, device, handle, send_comm, nullptr);
}

// In UNPACK mode NCCL has made room for a device handle, of which there is none otherwise.
ResultCode accept_v7(void* listen_comm, void** recv_comm, DeviceHandle** device_handle) noexcept {
  if (listen_comm == nullptr || recv_comm == nullptr) return ResultCode::kInvalidArgument;
  *recv_comm = nullptr;
  Comm* comm = nullptr;
  DeviceHandle* const unpacking =
      plugin().unpacks() && device_handle != nullptr ? *device_handle : nullptr;
  const ResultCode code =
      plugin().accept(*static_cast<Plugin::Listening*>(listen_comm), unpacking, &comm);
  *recv_comm = comm;
  return code;
}

ResultCode accept_v6(void* listen_comm, void** recv_comm) noexcept {
  return accept_v7(listen_comm, recv_comm, nullptr);
}

ResultCode close_comm(void* comm) noexcept {
  delete static_cast<Comm*>(comm);
  return ResultCode::kSuccess;
}

ResultCode close_listen(void* listen_comm) noexcept {
  delete static_cast<Plugin::Listening*>(listen_comm);
  return ResultCode::kSuccess;
}

// -- memory -------------------------------------------------------------------------------------

ResultCode reg_mr_v8(void* comm, void* data, std::size_t size, int type,
                     void** memory_handle) noexcept {
  if (memory_handle == nullptr) return ResultCode::kInvalidArgument;
  *memory_handle = nullptr;
  const bool of_gpu = type == kPointerCuda && comm != nullptr;
  if (type != kPointerHost && !of_gpu) return ResultCode::kInvalidArgument;
  if (of_gpu) {
    const ResultCode code = plugin().admit_gpu_memory(*static_cast<Comm*>(comm));
    if (code != ResultCode::kSuccess) return code;
  }
  *memory_handle = new Registration{{static_cast<const std::byte*>(data), size}, of_gpu};
  return ResultCode::kSuccess;
}

ResultCode reg_mr_v6(void* comm, void* data, int size, int type, void** memory_handle) noexcept {
  if (size < 0) return ResultCode::kInvalidArgument;
  return reg_mr_v8(comm, data, static_cast<std::size_t>(size), type, memory_handle);
}

// NCCL frees the memory next, before it closes the comm: nothing may arrive there any more.
ResultCode dereg_mr(void* comm, void* memory_handle) noexcept {
  auto* registration = static_cast<Registration*>(memory_handle);
  if (comm != nullptr && registration != nullptr) {
    static_cast<Comm*>(comm)->withdraw(registration->memory);
  }
  delete registration;
  return ResultCode::kSuccess;
}

// -- messages -----------------------------------------------------------------------------------

ResultCode post(void* comm, void* data, std::size_t size, void* memory_handle, void* parent,
                void** request) {
  if (comm == nullptr || size > kLargestSize) return ResultCode::kInvalidArgument;
  Request* posted = nullptr;
  const auto* registration = static_cast<const Registration*>(memory_handle);
  const auto from = registration != nullptr && registration->of_gpu ? StagedSender::From::kGpu
                                                                    : StagedSender::From::kHost;
  const ResultCode code = static_cast<Comm*>(comm)->post(data, size, from, parent, &posted);
  *request = posted;
  return code;
}

ResultCode isend_v10(void* send_comm, void* data, std::size_t size, int, void* memory_handle,
                     void* profiler_parent, void** request) noexcept {
  if (request == nullptr) return ResultCode::kInvalidArgument;
  *request = nullptr;
  return post(send_comm, data, size, memory_handle, profiler_parent, request);
}

ResultCode isend_v9(void* send_comm, void* data, std::size_t size, int tag, void* memory_handle,
                    void** request) noexcept {
  return isend_v10(send_comm, data, size, tag, memory_handle, nullptr, request);
}

ResultCode isend_v6(void* send_comm, void* data, int size, int tag, void* memory_handle,
                    void** request) noexcept {
  if (size < 0) return ResultCode::kInvalidArgument;
  return isend_v9(send_comm, data, static_cast<std::size_t>(size), tag, memory_handle, request);
}

// *request is overwritten in any case: from v9 on NCCL may have left kOptionalReceiveCompletion
// there.
template <typename Size>
ResultCode receive(void* recv_comm, int count, void** data, const Size* sizes,
                   void** profiler_parents, void** request) {
  if (request == nullptr) return ResultCode::kInvalidArgument;
  *request = nullptr;
  if (count != 1 || data == nullptr || sizes == nullptr || sizes[0] < Size{0}) {
    return ResultCode::kInvalidArgument;
  }
  void* const parent = profiler_parents == nullptr ? nullptr : profiler_parents[0];
  // Where the bytes go is the comm's affair, not that of the memory's kind.
  return post(recv_comm, data[0], static_cast<std::size_t>(sizes[0]), nullptr, parent, request);
}

ResultCode irecv_v10(void* recv_comm, int count, void** data, std::size_t* sizes, int*, void**,
                     void** profiler_parents, void** request) noexcept {
  return receive(recv_comm, count, data, sizes, profiler_parents, request);
}

ResultCode irecv_v9(void* recv_comm, int count, void** data, std::size_t* sizes, int*, void**,
                    void** request) noexcept {
  return receive(recv_comm, count, data, sizes, nullptr, request);
}

ResultCode irecv_v6(void* recv_comm, int count, void** data, int* sizes, int*, void**,
                    void** request) noexcept {
  return receive(recv_comm, count, data, sizes, nullptr, request);
}

// Received bytes are in place, or in memory of the host: nothing to wait for.
ResultCode iflush(void*, int, void**, int*, void**, void** request) noexcept {
  if (request == nullptr) return ResultCode::kInvalidArgument;
  *request = nullptr;
  return ResultCode::kSuccess;
}

ResultCode test(void* request, int* done, int* sizes) noexcept {
  if (request == nullptr || done == nullptr) return ResultCode::kInvalidArgument;
  *done = 0;
  auto& posted = *static_cast<Request*>(request);
  return posted.comm->test(posted, done, sizes);
}

// In HOST mode a request ends with its test, and may be another message's by now.
ResultCode irecv_consumed(void* recv_comm, int count, void* request) noexcept {
  if (recv_comm == nullptr || request == nullptr || count != 1) return ResultCode::kInvalidArgument;
  return static_cast<Comm*>(recv_comm)->consumed(*static_cast<Request*>(request));
}

}  // namespace

// NULL where NCCL looks before it calls and there is nothing to do: dma-buf, device memory handles
// (kernels need none), merged devices, attributes.
#define SLUICE_NCCL_EXPORT extern "C" __attribute__((visibility("default")))

SLUICE_NCCL_EXPORT const v6::Table ncclNetPlugin_v6{
    .name = kPluginName,
    .init = init_v6,
    .devices = devices,
    .get_properties = get_properties,
    .listen = listen_v6,
    .connect = connect_v6,
    .accept = accept_v6,
    .reg_mr = reg_mr_v6,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = dereg_mr,
    .isend = isend_v6,
    .irecv = irecv_v6,
    .iflush = iflush,
    .test = test,
    .close_send = close_comm,
    .close_recv = close_comm,
    .close_listen = close_listen,
};

SLUICE_NCCL_EXPORT const v7::Table ncclNetPlugin_v7{
    .name = kPluginName,
    .init = init_v6,
    .devices = devices,
    .get_properties = get_properties,
    .listen = listen_v6,
    .connect = connect_v7,
    .accept = accept_v7,
    .reg_mr = reg_mr_v6,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = dereg_mr,
    .isend = isend_v6,
    .irecv = irecv_v6,
    .iflush = iflush,
    .test = test,
    .close_send = close_comm,
    .close_recv = close_comm,
    .close_listen = close_listen,
    .get_device_mr = nullptr,
    .irecv_consumed = irecv_consumed,
};

SLUICE_NCCL_EXPORT const v8::Table ncclNetPlugin_v8{
    .name = kPluginName,
    .init = init_v6,
    .devices = devices,
    .get_properties = get_properties,
    .listen = listen_v6,
    .connect = connect_v7,
    .accept = accept_v7,
    .reg_mr = reg_mr_v8,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = dereg_mr,
    .isend = isend_v6,
    .irecv = irecv_v6,
    .iflush = iflush,
    .test = test,
    .close_send = close_comm,
    .close_recv = close_comm,
    .close_listen = close_listen,
    .get_device_mr = nullptr,
    .irecv_consumed = irecv_consumed,
};

SLUICE_NCCL_EXPORT const v9::Table ncclNetPlugin_v9{
    .name = kPluginName,
    .init = init_v6,
    .devices = devices,
    .get_properties = get_properties,
    .listen = listen_v6,
    .connect = connect_v7,
    .accept = accept_v7,
    .reg_mr = reg_mr_v8,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = dereg_mr,
    .isend = isend_v9,
    .irecv = irecv_v9,
    .iflush = iflush,
    .test = test,
    .close_send = close_comm,
    .close_recv = close_comm,
    .close_listen = close_listen,
    .get_device_mr = nullptr,
    .irecv_consumed = irecv_consumed,
    .make_virtual_device = nullptr,
};

SLUICE_NCCL_EXPORT const v10::Table ncclNetPlugin_v10{
    .name = kPluginName,
    .init = init_common,
    .devices = devices,
    .get_properties = get_properties,
    .listen = listen_v6,
    .connect = connect_v10,
    .accept = accept_v7,
    .reg_mr = reg_mr_v8,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = dereg_mr,
    .isend = isend_v10,
    .irecv = irecv_v10,
    .iflush = iflush,
    .test = test,
    .close_send = close_comm,
    .close_recv = close_comm,
    .close_listen = close_listen,
    .get_device_mr = nullptr,
    .irecv_consumed = irecv_consumed,
    .make_virtual_device = nullptr,
};

SLUICE_NCCL_EXPORT const v11::Table ncclNetPlugin_v11{
    .name = kPluginName,
    .init = init_v11,
    .devices = devices,
    .get_properties = get_properties,
    .listen = listen_v11,
    .connect = connect_v11,
    .accept = accept_v7,
    .reg_mr = reg_mr_v8,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = dereg_mr,
    .isend = isend_v10,
    .irecv = irecv_v10,
    .iflush = iflush,
    .test = test,
    .close_send = close_comm,
    .close_recv = close_comm,
    .close_listen = close_listen,
    .get_device_mr = nullptr,
    .irecv_consumed = irecv_consumed,
    .make_virtual_device = nullptr,
    .finalize = finalize,
    .set_net_attributes = nullptr,
};

SLUICE_NCCL_EXPORT const v12::Table ncclNetPlugin_v12{
    .name = kPluginName,
    .init = init_v11,
    .devices = devices,
    .get_properties = get_properties,
    .listen = listen_v11,
    .connect = connect_v11,
    .accept = accept_v7,
    .reg_mr = reg_mr_v8,
    .reg_mr_dma_buf = nullptr,
    .dereg_mr = dereg_mr,
    .isend = isend_v10,
    .irecv = irecv_v10,
    .iflush = iflush,
    .test = test,
    .close_send = close_comm,
    .close_recv = close_comm,
    .close_listen = close_listen,
    .get_device_mr = nullptr,
    .irecv_consumed = irecv_consumed,
    .make_virtual_device = nullptr,
    .finalize = finalize,
    .set_net_attributes = nullptr,
};

}  // namespace sluice::nccl_plugin
