// Version 6: adds registration by dma-buf. Properties are v5's.
#pragma once

#include "src/net/plugin/abi.h"
#include "src/net/plugin/abi_v5.h"

namespace sluice::nccl_abi::v6 {

inline constexpr char kSymbol[] = "ncclNetPlugin_v6";

using v5::Properties;

// ncclNet_v6_t.
struct Table {
  const char* name;
  ResultCode (*init)(DebugLogger logger);
  ResultCode (*devices)(int* count);
  ResultCode (*get_properties)(int device, Properties* properties);
  ResultCode (*listen)(int device, void* handle, void** listen_comm);
  ResultCode (*connect)(int device, void* handle, void** send_comm);
  ResultCode (*accept)(void* listen_comm, void** recv_comm);
  ResultCode (*reg_mr)(void* comm, void* data, int size, int type, void** memory_handle);
  ResultCode (*reg_mr_dma_buf)(void* comm, void* data, std::size_t size, int type,
                               std::uint64_t offset, int fd, void** memory_handle);
  ResultCode (*dereg_mr)(void* comm, void* memory_handle);
  ResultCode (*isend)(void* send_comm, void* data, int size, int tag, void* memory_handle,
                      void** request);
  ResultCode (*irecv)(void* recv_comm, int count, void** data, int* sizes, int* tags,
                      void** memory_handles, void** request);
  ResultCode (*iflush)(void* recv_comm, int count, void** data, int* sizes, void** memory_handles,
                       void** request);
  ResultCode (*test)(void* request, int* done, int* sizes);
  ResultCode (*close_send)(void* send_comm);
  ResultCode (*close_recv)(void* recv_comm);
  ResultCode (*close_listen)(void* listen_comm);
};
SLUICE_ABI_SIZE(Table, 136);
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

}  // namespace sluice::nccl_abi::v6
