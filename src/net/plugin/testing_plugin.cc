// The smallest plugins that the loader can meet: what TESTING_PLUGIN_... says is what is odd about
// this one.
#include "src/net/plugin/abi_v7.h"
#include "src/net/plugin/abi_v9.h"

namespace {

using sluice::nccl_abi::DebugLevel;
using sluice::nccl_abi::DebugLogger;
using sluice::nccl_abi::ResultCode;

ResultCode init(DebugLogger logger) {
#ifdef TESTING_PLUGIN_INIT_FAILS
  logger(DebugLevel::kWarn, sluice::nccl_abi::kLogInit, __FILE__, __LINE__, "no %s today", "rxdm");
  return ResultCode::kSystemError;
#else
  (void)logger;
  static int inits = 0;  // Not twice, like GPUDirect-TCPX.
  return ++inits == 1 ? ResultCode::kSuccess : ResultCode::kInternalError;
#endif
}

ResultCode devices(int* count) {
#ifdef TESTING_PLUGIN_NO_DEVICE
  *count = 0;
#else
  *count = 1;
#endif
  return ResultCode::kSuccess;
}

template <typename... Arguments>
ResultCode refuse(Arguments...) {
  return ResultCode::kInternalError;
}

#ifdef TESTING_PLUGIN_CUDA_ONLY
ResultCode get_properties(int, sluice::nccl_abi::v7::Properties* properties) {
  *properties = {};
  properties->pointer_support = sluice::nccl_abi::kPointerCuda;
  return ResultCode::kSuccess;
}
#endif

template <typename Table>
constexpr Table make_table(const char* name) {
  Table t{};
  t.name = name;
  t.init = init;
  t.devices = devices;
#ifdef TESTING_PLUGIN_CUDA_ONLY
  t.get_properties = get_properties;
#else
  t.get_properties = refuse;
#endif
  t.listen = refuse;
  t.connect = refuse;
  t.accept = refuse;
  t.reg_mr = refuse;
  t.dereg_mr = refuse;
#ifndef TESTING_PLUGIN_NO_ISEND
  t.isend = refuse;
#endif
  t.irecv = refuse;
  t.iflush = refuse;
  t.test = refuse;
  t.close_send = refuse;
  t.close_recv = refuse;
  t.close_listen = refuse;
  return t;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED sluice::nccl_abi::v7::Table ncclNetPlugin_v7;
sluice::nccl_abi::v7::Table ncclNetPlugin_v7 =
    make_table<sluice::nccl_abi::v7::Table>("Testing_v7");

#ifdef TESTING_PLUGIN_TWO_TABLES
EXPORTED sluice::nccl_abi::v9::Table ncclNetPlugin_v9;
sluice::nccl_abi::v9::Table ncclNetPlugin_v9 =
    make_table<sluice::nccl_abi::v9::Table>("Testing_v9");
#endif
