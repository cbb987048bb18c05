// Version 10: a traffic class for connect, and events for a profiler. Properties are v9's.
#pragma once

#include "src/net/plugin/abi.h"
#include "src/net/plugin/abi_v9.h"

namespace sluice::nccl_abi::v10 {

inline constexpr char kSymbol[] = "ncclNetPlugin_v10";

using v9::Properties;
using v9::VirtualDevice;

// ncclNet_v10_t.
struct Table {
  const char* name;
  ResultCode (*init)(DebugLogger logger, ProfilerCallback profiler);
  ResultCode (*devices)(int* count);
  ResultCode (*get_properties)(int device, Properties* properties);
  ResultCode (*listen)(int device, void* handle, void** listen_comm);
  ResultCode (*connect)(int device, CommConfig* config, void* handle, void** send_comm,
                        DeviceHandle** device_handle);
  ResultCode (*accept)(void* listen_comm, void** recv_comm, DeviceHandle** device_handle);
  ResultCode (*reg_mr)(void* comm, void* data, std::size_t size, int type, void** memory_handle);
  ResultCode (*reg_mr_dma_buf)(void* comm, void* data, std::size_t size, int type,
                               std::uint64_t offset, int fd, void** memory_handle);
  ResultCode (*dereg_mr)(void* comm, void* memory_handle);
  ResultCode (*isend)(void* send_comm, void* data, std::size_t size, int tag, void* memory_handle,
                      void* profiler_parent, void** request);
  ResultCode (*irecv)(void* recv_comm, int count, void** data, std::size_t* sizes, int* tags,
                      void** memory_handles, void** profiler_parents, void** request);
  ResultCode (*iflush)(void* recv_comm, int count, void** data, int* sizes, void** memory_handles,
                       void** request);
  ResultCode (*test)(void* request, int* done, int* sizes);
  ResultCode (*close_send)(void* send_comm);
  ResultCode (*close_recv)(void* recv_comm);
  ResultCode (*close_listen)(void* listen_comm);
  ResultCode (*get_device_mr)(void* comm, void* memory_handle, void** device_memory_handle);
  ResultCode (*irecv_consumed)(void* recv_comm, int count, void* request);
  ResultCode (*make_virtual_device)(int* device, VirtualDevice* members);
};
SLUICE_ABI_SIZE(Table, 160);
SLUICE_ABI_SLOT(name, 0);
SLUICE_ABI_SLOT(init, 1);
SLUICE_ABI_SLOT(devices, 2);
SLUICE_ABI_SLOT(get_properties, 3);
SLUICE_ABI_SLOT(listen, 4);
SLUICE_ABI_SLOT(connect, 5);
SLUICE_ABI_SLOT(accept, 6);
SLUICE_ABI_SLOT(reg_mr, 7);
SLUICE_ABI_SLOT(reg_mr_dma_buf, 8);
SLUICE_ABI_SLOT(dereg_mr, 9);
SLUICE_ABI_SLOT(isend, 10);
SLUICE_ABI_SLOT(irecv, 11);
SLUICE_ABI_SLOT(iflush, 12);
SLUICE_ABI_SLOT(test, 13);
SLUICE_ABI_SLOT(close_send, 14);
SLUICE_ABI_SLOT(close_recv, 15);
SLUICE_ABI_SLOT(close_listen, 16);
SLUICE_ABI_SLOT(get_device_mr, 17);
SLUICE_ABI_SLOT(irecv_consumed, 18);
SLUICE_ABI_SLOT(make_virtual_device, 19);

}  // namespace sluice::nccl_abi::v10
