// A NCCL net plugin (table v8, host memory) that moves nothing: every message is through as soon as
// it is tested. What NCCL reaches with it is the most that any net can give it on a machine; the
// data that arrives is wrong.
//
//   NCCL_NET_PLUGIN=build/lib/libnccl-net-null.so NCCL_NET=null
#include <array>
#include <cstdint>

#include "src/net/plugin/abi_v8.h"

namespace {

using namespace sluice::nccl_abi;

struct Request {
  int bytes = 0;
};
// A listen comm is one too.
struct Comm {
  std::array<Request, kMostRequests> requests;
  std::uint32_t posted = 0;
};

char g_name[] = "null";

ResultCode init(DebugLogger) { return ResultCode::kSuccess; }
ResultCode devices(int* count) {
  *count = 1;
  return ResultCode::kSuccess;
}
ResultCode get_properties(int, v8::Properties* properties) {
  *properties = {.name = g_name,
                 .pci_path = nullptr,
                 .guid = 1,
                 .pointer_support = kPointerHost,
                 .registration_is_global = 0,
                 .speed = 200000,
                 .port = 0,
                 .latency = 0,
                 .most_comms = 65536,
                 .most_receives = 1,
                 .device_type = kDeviceHost,
                 .device_version = 0};
  return ResultCode::kSuccess;
}
ResultCode listen(int, void*, void** comm) {
  *comm = new Comm;
  return ResultCode::kSuccess;
}
ResultCode make(void** comm) {
  *comm = new Comm;
  return ResultCode::kSuccess;
}
ResultCode connect(int, void*, void** comm, DeviceHandle**) { return make(comm); }
ResultCode accept(void*, void** comm, DeviceHandle**) { return make(comm); }
ResultCode reg_mr(void*, void*, std::size_t, int, void** handle) {
  *handle = nullptr;
  return ResultCode::kSuccess;
}
ResultCode dereg_mr(void*, void*) { return ResultCode::kSuccess; }
ResultCode post(void* of, int bytes, void** request) {
  Comm& comm = *static_cast<Comm*>(of);
  Request& posted = comm.requests[comm.posted++ % comm.requests.size()];
  posted.bytes = bytes;
  *request = &posted;
  return ResultCode::kSuccess;
}
ResultCode isend(void* comm, void*, int bytes, int, void*, void** request) {
  return post(comm, bytes, request);
}
ResultCode irecv(void* comm, int, void**, int* sizes, int*, void**, void** request) {
  return post(comm, sizes[0], request);
}
ResultCode iflush(void*, int, void**, int*, void**, void** request) {
  *request = nullptr;
  return ResultCode::kSuccess;
}
ResultCode test(void* request, int* done, int* sizes) {
  *done = 1;
  if (sizes != nullptr) *sizes = static_cast<Request*>(request)->bytes;
  return ResultCode::kSuccess;
}
ResultCode close(void* comm) {
  delete static_cast<Comm*>(comm);
  return ResultCode::kSuccess;
}

}  // namespace

extern "C" {
__attribute__((visibility("default")))
v8::Table ncclNetPlugin_v8 = {.name = g_name,
                              .init = init,
                              .devices = devices,
                              .get_properties = get_properties,
                              .listen = listen,
                              .connect = connect,
                              .accept = accept,
                              .reg_mr = reg_mr,
                              .reg_mr_dma_buf = nullptr,
                              .dereg_mr = dereg_mr,
                              .isend = isend,
                              .irecv = irecv,
                              .iflush = iflush,
                              .test = test,
                              .close_send = close,
                              .close_recv = close,
                              .close_listen = close,
                              .get_device_mr = nullptr,
                              .irecv_consumed = nullptr};
}
