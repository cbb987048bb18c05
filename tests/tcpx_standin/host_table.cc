// The table of the HOST profile, compiled once for each version: SLUICE_STANDIN_ABI is its number.
// Each library exports that one alone.
#include <array>
#include <cstring>
#include <string>
#include <unordered_map>

#include "tests/tcpx_standin/host_connection.h"

#if SLUICE_STANDIN_ABI == 5
#include "src/net/plugin/abi_v5.h"
namespace abi = sluice::nccl_abi::v5;
#elif SLUICE_STANDIN_ABI == 6
#include "src/net/plugin/abi_v6.h"
namespace abi = sluice::nccl_abi::v6;
#elif SLUICE_STANDIN_ABI == 7
#include "src/net/plugin/abi_v7.h"
namespace abi = sluice::nccl_abi::v7;
#elif SLUICE_STANDIN_ABI == 8
#include "src/net/plugin/abi_v8.h"
namespace abi = sluice::nccl_abi::v8;
#elif SLUICE_STANDIN_ABI == 9
#include "src/net/plugin/abi_v9.h"
namespace abi = sluice::nccl_abi::v9;
#elif SLUICE_STANDIN_ABI == 10
#include "src/net/plugin/abi_v10.h"
namespace abi = sluice::nccl_abi::v10;
#elif SLUICE_STANDIN_ABI == 11
#include "src/net/plugin/abi_v11.h"
namespace abi = sluice::nccl_abi::v11;
#elif SLUICE_STANDIN_ABI == 12
#include "src/net/plugin/abi_v12.h"
namespace abi = sluice::nccl_abi::v12;
#endif

namespace sluice::standin {
namespace {

using nccl_abi::DebugLogger;
using nccl_abi::DeviceHandle;

// What the versions call differently.
#if SLUICE_STANDIN_ABI >= 8
using RegisteredBytes = std::size_t;
#else
using RegisteredBytes = int;
#endif
#if SLUICE_STANDIN_ABI >= 9
using MessageBytes = std::size_t;
#else
using MessageBytes = int;
#endif

// The connects that are not answered, by the number in their handle.
struct Connects {
  std::mutex mutex;
  std::uint64_t last = 0;
  std::unordered_map<std::uint64_t, HostConnect> by_number;
  static Connects& get() {
    static Connects& connects = *new Connects;
    return connects;
  }
};

ResultCode init_process(DebugLogger logger) {
  Owner& owner = Owner::get();
  owner.logger = logger;
  const Knobs knobs = Knobs::from_environment(Side::kSend);
  return address_of(knobs.interface) ? ResultCode::kSuccess : ResultCode::kSystemError;
}

#if SLUICE_STANDIN_ABI >= 11
ResultCode init(void** context, std::uint64_t, nccl_abi::CommConfig*, DebugLogger logger,
                nccl_abi::ProfilerCallback) {
  *context = &Owner::get();
  return init_process(logger);
}
ResultCode finalize(void*) { return ResultCode::kSuccess; }
ResultCode set_net_attributes(void*, abi::NetAttributes*) { return ResultCode::kSuccess; }
#elif SLUICE_STANDIN_ABI == 10
ResultCode init(DebugLogger logger, nccl_abi::ProfilerCallback) { return init_process(logger); }
#else
ResultCode init(DebugLogger logger) { return init_process(logger); }
#endif

ResultCode devices(int* count) {
  *count = static_cast<int>(Knobs::from_environment(Side::kSend).devices);
  return ResultCode::kSuccess;
}

ResultCode get_properties(int device, abi::Properties* properties) {
  static std::array<std::string, 16>& names = *new std::array<std::string, 16>;
  if (device < 0 || device >= static_cast<int>(Knobs::from_environment(Side::kSend).devices)) {
    return ResultCode::kInvalidArgument;
  }
  std::string& name = names[static_cast<std::size_t>(device)];
  if (name.empty()) name = "standin-host" + std::to_string(device);
  *properties = {};
  properties->name = name.data();
  properties->guid = static_cast<std::uint64_t>(device);
  properties->pointer_support = nccl_abi::kPointerHost;
  properties->speed = 10'000;
  properties->most_comms = 65'536;
  properties->most_receives = 1;
#if SLUICE_STANDIN_ABI >= 8
  properties->registration_is_global = 1;
#endif
#if SLUICE_STANDIN_ABI >= 9
  properties->virtual_device.count = 1;
  properties->virtual_device.devices[0] = device;
  properties->largest_message = 1u << 30;
  properties->largest_collective = 1u << 30;
#endif
#if SLUICE_STANDIN_ABI >= 11
  properties->most_multi_request = 1;
#endif
#if SLUICE_STANDIN_ABI >= 12
  properties->rail_id = nccl_abi::kIdUndefined;
  properties->plane_id = nccl_abi::kIdUndefined;
#endif
  return ResultCode::kSuccess;
}

ResultCode listen_on_device(void* handle, void** listen_comm) {
  HostHandle out;
  std::unique_ptr<HostListen> listen =
      HostListen::make(Knobs::from_environment(Side::kReceive), out);
  if (listen == nullptr) return ResultCode::kSystemError;
  std::memcpy(handle, &out, sizeof(out));
  ++Owner::get().counters.open_listen_comms;
  *listen_comm = listen.release();
  return ResultCode::kSuccess;
}

ResultCode connect_to_handle(void* handle, void** send_comm) {
  *send_comm = nullptr;
  Connects& connects = Connects::get();
  const std::lock_guard lock(connects.mutex);
  HostHandle from;
  std::memcpy(&from, handle, sizeof(from));
  auto found = connects.by_number.find(from.connecting);
  if (found == connects.by_number.end()) {
    if (from.connecting != 0) return ResultCode::kInvalidArgument;
    from.connecting = ++connects.last;
    const Knobs knobs = Knobs::from_environment(Side::kSend);
    found = connects.by_number.try_emplace(from.connecting, from, knobs).first;
    std::memcpy(handle, &from, sizeof(from));
  }
  HostComm* comm = nullptr;
  const ResultCode code = found->second.poll(comm);
  *send_comm = comm;
  if (comm != nullptr || code != ResultCode::kSuccess) connects.by_number.erase(found);
  return code;
}

#if SLUICE_STANDIN_ABI >= 11
ResultCode listen(void*, int, void* handle, void** comm) { return listen_on_device(handle, comm); }
ResultCode connect(void*, int, void* handle, void** comm, DeviceHandle**) {
  return connect_to_handle(handle, comm);
}
#elif SLUICE_STANDIN_ABI == 10
ResultCode listen(int, void* handle, void** comm) { return listen_on_device(handle, comm); }
ResultCode connect(int, nccl_abi::CommConfig*, void* handle, void** comm, DeviceHandle**) {
  return connect_to_handle(handle, comm);
}
#elif SLUICE_STANDIN_ABI >= 7
ResultCode listen(int, void* handle, void** comm) { return listen_on_device(handle, comm); }
ResultCode connect(int, void* handle, void** comm, DeviceHandle**) {
  return connect_to_handle(handle, comm);
}
#else
ResultCode listen(int, void* handle, void** comm) { return listen_on_device(handle, comm); }
ResultCode connect(int, void* handle, void** comm) { return connect_to_handle(handle, comm); }
#endif

ResultCode accept_one(void* listen_comm, void** recv_comm) {
  HostComm* comm = nullptr;
  const ResultCode code = static_cast<HostListen*>(listen_comm)->accept(comm);
  *recv_comm = comm;
  return code;
}

#if SLUICE_STANDIN_ABI >= 7
ResultCode accept(void* listen_comm, void** recv_comm, DeviceHandle**) {
  return accept_one(listen_comm, recv_comm);
}
#else
ResultCode accept(void* listen_comm, void** recv_comm) {
  return accept_one(listen_comm, recv_comm);
}
#endif

ResultCode close_listen(void* listen_comm) {
  delete static_cast<HostListen*>(listen_comm);
  --Owner::get().counters.open_listen_comms;
  return ResultCode::kSuccess;
}

// Any memory will do; the handle is only counted.
ResultCode reg_mr(void*, void*, RegisteredBytes, int type, void** memory_handle) {
  if (type != nccl_abi::kPointerHost) return ResultCode::kInvalidArgument;
  ++Owner::get().counters.open_registrations;
  *memory_handle = &Owner::get();
  return ResultCode::kSuccess;
}

ResultCode dereg_mr(void*, void*) {
  --Owner::get().counters.open_registrations;
  return ResultCode::kSuccess;
}

ResultCode receive_one(void* comm, int count, void* data, std::uint64_t bytes, void** request) {
  if (count != 1) return ResultCode::kInvalidArgument;
  return static_cast<HostComm*>(comm)->post(data, bytes, request);
}

#if SLUICE_STANDIN_ABI >= 10
ResultCode isend(void* comm, void* data, MessageBytes bytes, int, void*, void*, void** request) {
  return static_cast<HostComm*>(comm)->post(data, bytes, request);
}
ResultCode irecv(void* comm, int count, void** data, MessageBytes* bytes, int*, void**, void**,
                 void** request) {
  return receive_one(comm, count, data[0], bytes[0], request);
}
#else
ResultCode isend(void* comm, void* data, MessageBytes bytes, int, void*, void** request) {
  return static_cast<HostComm*>(comm)->post(data, static_cast<std::uint64_t>(bytes), request);
}
ResultCode irecv(void* comm, int count, void** data, MessageBytes* bytes, int*, void**,
                 void** request) {
  return receive_one(comm, count, data[0], static_cast<std::uint64_t>(bytes[0]), request);
}
#endif

// Host memory needs none.
ResultCode iflush(void*, int, void**, int*, void**, void** request) {
  *request = nullptr;
  return ResultCode::kSuccess;
}

ResultCode test(void* request, int* done, int* size) {
  auto& tested = *static_cast<HostRequest*>(request);
  return tested.comm->test(tested, done, size);
}

ResultCode close_comm(void* comm) { return static_cast<HostComm*>(comm)->close(); }

abi::Table make_table() {
  abi::Table table{};
  table.name = "sluice-standin-host";
  table.init = init;
  table.devices = devices;
  table.get_properties = get_properties;
  table.listen = listen;
  table.connect = connect;
  table.accept = accept;
  table.reg_mr = reg_mr;
  table.dereg_mr = dereg_mr;
  table.isend = isend;
  table.irecv = irecv;
  table.iflush = iflush;
  table.test = test;
  table.close_send = close_comm;
  table.close_recv = close_comm;
  table.close_listen = close_listen;
#if SLUICE_STANDIN_ABI >= 11
  table.finalize = finalize;
  table.set_net_attributes = set_net_attributes;
#endif
  return table;
}

}  // namespace
}  // namespace sluice::standin

#define SLUICE_STANDIN_JOIN(name, version) name##version
#define SLUICE_STANDIN_TABLE(version) SLUICE_STANDIN_JOIN(ncclNetPlugin_v, version)

extern "C" {
__attribute__((visibility("default")))
abi::Table SLUICE_STANDIN_TABLE(SLUICE_STANDIN_ABI) = sluice::standin::make_table();
}
