// Plugins of every version that live in the test: tables of functions that lead to one recorded,
// scripted state. What differs between versions is done by hand here, from the interface's text,
// and not with the adapter's own tables.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "src/net/plugin/plugin_adapter.h"

namespace sluice::fake {

using nccl_abi::ResultCode;

// What the last call of a name was given; the state of the one fake plugin.
struct State {
  std::vector<std::string> calls;
  ResultCode result = ResultCode::kSuccess;  // Of the next calls.
  std::map<std::string, ResultCode> result_of;
  int device_type = nccl_abi::kDeviceHost;
  int device_version = 0;
  int polls_until_made = 0;  // NULL comms that connect and accept answer first.
  nccl_abi::DebugLogger logger = nullptr;

  void* context = nullptr;
  std::uint64_t bytes = 0;
  int type = 0;
  int traffic_class = 0;
  bool device_storage = false;
  void* handle = nullptr;
  std::set<void*> handles;

  // The data path: requests are 1, 2, 3, ...
  std::uintptr_t requests = 0;
  std::uint32_t in_flight = 0;
  std::uint32_t most_in_flight = 0;
  bool busy = false;
  std::uintptr_t done_up_to = 0;
  std::uintptr_t tested = 0;
  std::vector<std::uintptr_t> tested_requests, consumed;
  int size = -1;  // Written by test(); -1: nothing is.

  // Registrations.
  struct Registered {
    void* comm;
    std::uintptr_t begin;
    std::uint64_t bytes;
    int type;
  };
  std::uintptr_t comms = 0x1000;  // A fresh name for each.
  std::map<std::uintptr_t, Registered> registered;
  std::uintptr_t registrations = 0;
  std::set<void*> closed;

  // An unpacking plugin's.
  nccl_abi::UnpackDeviceHandle unpack{};

  ResultCode called(const char* name) {
    calls.emplace_back(name);
    const auto found = result_of.find(name);
    return found == result_of.end() ? result : found->second;
  }
};

inline State& state() {
  static State only;
  return only;
}

inline ResultCode init_v5(nccl_abi::DebugLogger logger) {
  state().logger = logger;
  return state().called("init");
}
inline ResultCode init_v10(nccl_abi::DebugLogger logger, nccl_abi::ProfilerCallback) {
  return init_v5(logger);
}
inline ResultCode init_v11(void** context, std::uint64_t, nccl_abi::CommConfig* config,
                           nccl_abi::DebugLogger logger, nccl_abi::ProfilerCallback) {
  *context = &state();
  state().traffic_class = config->traffic_class;
  return init_v5(logger);
}
inline ResultCode devices(int* count) {
  *count = 2;
  return state().called("devices");
}
template <typename Properties>
ResultCode get_properties(int device, Properties* out) {
  out->name = const_cast<char*>(device == 0 ? "eth1" : "eth2");
  out->pci_path = nullptr;
  out->pointer_support = nccl_abi::kPointerHost | nccl_abi::kPointerCuda;
  out->speed = 200'000;
  if constexpr (requires { out->device_type; }) {
    out->device_type = state().device_type;
    out->device_version = state().device_version;
  }
  if constexpr (requires { out->largest_message; }) out->largest_message = 1ul << 33;
  return state().called("getProperties");
}
inline ResultCode listen_v5(int device, void* handle, void** comm) {
  std::memset(handle, 0x40 + device, 80);
  *comm = &state();
  return state().called("listen");
}
inline ResultCode listen_v11(void* context, int device, void* handle, void** comm) {
  state().context = context;
  return listen_v5(device, handle, comm);
}
inline ResultCode answer_making(const char* name, void** comm) {
  const ResultCode code = state().called(name);
  *comm = nullptr;
  if (code == ResultCode::kSuccess && state().polls_until_made-- <= 0) {
    *comm = reinterpret_cast<void*>(++state().comms);
  }
  return code;
}
inline ResultCode connect_v5(int, void* handle, void** comm) {
  state().handle = handle;
  state().handles.insert(handle);
  return answer_making("connect", comm);
}
inline ResultCode connect_v7(int device, void* handle, void** comm,
                             nccl_abi::DeviceHandle** device_handle) {
  state().device_storage = *device_handle != nullptr;
  return connect_v5(device, handle, comm);
}
inline ResultCode connect_v10(int device, nccl_abi::CommConfig* config, void* handle, void** comm,
                              nccl_abi::DeviceHandle** device_handle) {
  state().traffic_class = config->traffic_class;
  return connect_v7(device, handle, comm, device_handle);
}
inline ResultCode connect_v11(void* context, int device, void* handle, void** comm,
                              nccl_abi::DeviceHandle** device_handle) {
  state().context = context;
  return connect_v7(device, handle, comm, device_handle);
}
inline ResultCode accept_v5(void*, void** comm) { return answer_making("accept", comm); }
inline ResultCode accept_v7(void* listen, void** comm, nccl_abi::DeviceHandle** device_handle) {
  const ResultCode code = accept_v5(listen, comm);
  state().device_storage = *device_handle != nullptr;
  if (*comm != nullptr && *device_handle != nullptr) {
    **device_handle = {nccl_abi::kDeviceUnpack, nccl_abi::kUnpackVersion, &state().unpack,
                       sizeof(state().unpack), 1};
  }
  return code;
}
template <typename Size>
ResultCode reg_mr(void* comm, void* data, Size bytes, int type, void** handle) {
  State& s = state();
  const ResultCode code = s.called("regMr");
  if (code != ResultCode::kSuccess) return code;
  s.bytes = static_cast<std::uint64_t>(bytes);
  s.type = type;
  s.registered[++s.registrations] = {comm, reinterpret_cast<std::uintptr_t>(data), s.bytes, type};
  *handle = reinterpret_cast<void*>(s.registrations);
  return code;
}
inline ResultCode dereg_mr(void* comm, void* handle) {
  State& s = state();
  const auto found = s.registered.find(reinterpret_cast<std::uintptr_t>(handle));
  if (found == s.registered.end() || found->second.comm != comm || s.closed.contains(comm)) {
    return s.called("deregMr of a stranger"), ResultCode::kInvalidArgument;
  }
  s.registered.erase(found);
  return s.called("deregMr");
}
inline ResultCode post(const char* name, std::uint64_t bytes, void** request) {
  State& s = state();
  const ResultCode code = s.called(name);
  if (code != ResultCode::kSuccess) return code;
  s.bytes = bytes;
  if (s.busy) {
    *request = nullptr;
    return code;
  }
  s.most_in_flight = std::max(s.most_in_flight, ++s.in_flight);
  *request = reinterpret_cast<void*>(++s.requests);
  return code;
}
template <typename Size>
ResultCode isend_v5(void*, void*, Size bytes, int, void*, void** request) {
  return post("isend", static_cast<std::uint64_t>(bytes), request);
}
inline ResultCode isend_v10(void*, void*, std::size_t bytes, int, void*, void*, void** request) {
  return post("isend", bytes, request);
}
template <typename Size>
ResultCode irecv_v5(void*, int count, void**, Size* bytes, int*, void**, void** request) {
  return count == 1 ? post("irecv", static_cast<std::uint64_t>(bytes[0]), request)
                    : ResultCode::kInternalError;
}
inline ResultCode irecv_v10(void*, int, void**, std::size_t* bytes, int*, void**, void**,
                            void** request) {
  return post("irecv", bytes[0], request);
}
inline ResultCode iflush(void*, int, void**, int*, void**, void**) {
  return state().called("iflush");
}
inline ResultCode test(void* request, int* done, int* sizes) {
  State& s = state();
  const ResultCode code = s.called("test");
  const auto number = reinterpret_cast<std::uintptr_t>(request);
  s.tested_requests.push_back(number);
  *done = 0;
  if (code != ResultCode::kSuccess) return code;
  if (number > s.done_up_to) return code;
  *done = 1;
  --s.in_flight;
  if (s.size >= 0) sizes[0] = s.size;
  return code;
}
inline ResultCode consumed(void*, int count, void* request) {
  state().consumed.push_back(reinterpret_cast<std::uintptr_t>(request));
  return count == 1 ? state().called("irecvConsumed") : ResultCode::kInternalError;
}
inline ResultCode close_comm(void* comm) {
  const bool again = !state().closed.insert(comm).second;
  return state().called(again ? "close again" : "close");
}
inline ResultCode close_listen(void*) { return state().called("closeListen"); }
inline ResultCode finalize(void* context) {
  state().context = context;
  return state().called("finalize");
}

template <int kVersion>
typename PluginAbi<kVersion>::Table make_table() {
  typename PluginAbi<kVersion>::Table t{};
  using Properties = typename PluginAbi<kVersion>::Properties;
  t.name = "Fake";
  t.devices = devices;
  t.get_properties = get_properties<Properties>;
  t.dereg_mr = dereg_mr;
  t.iflush = iflush;
  t.test = test;
  t.close_send = close_comm;
  t.close_recv = close_comm;
  t.close_listen = close_listen;
  if constexpr (kVersion >= 11) {
    t.init = init_v11, t.listen = listen_v11, t.connect = connect_v11, t.finalize = finalize;
  } else if constexpr (kVersion == 10) {
    t.init = init_v10, t.listen = listen_v5, t.connect = connect_v10;
  } else if constexpr (kVersion >= 7) {
    t.init = init_v5, t.listen = listen_v5, t.connect = connect_v7;
  } else {
    t.init = init_v5, t.listen = listen_v5, t.connect = connect_v5;
  }
  if constexpr (kVersion >= 7) {
    t.accept = accept_v7, t.irecv_consumed = consumed;
  } else {
    t.accept = accept_v5;
  }
  if constexpr (kVersion >= 8) {
    t.reg_mr = reg_mr<std::size_t>;
  } else {
    t.reg_mr = reg_mr<int>;
  }
  if constexpr (kVersion >= 10) {
    t.isend = isend_v10, t.irecv = irecv_v10;
  } else if constexpr (kVersion == 9) {
    t.isend = isend_v5<std::size_t>, t.irecv = irecv_v5<std::size_t>;
  } else {
    t.isend = isend_v5<int>, t.irecv = irecv_v5<int>;
  }
  return t;
}

}  // namespace sluice::fake
