// Version 7: adds device handles and irecvConsumed. GPUDirect-TCPX exports this one alone.
#pragma once

#include "src/net/plugin/abi.h"

namespace sluice::nccl_abi::v7 {

inline constexpr char kSymbol[] = "ncclNetPlugin_v7";

// ncclNetProperties_v7_t. Texts stay the plugin's.
struct Properties {
  char* name;
  char* pci_path;  // In /sys; may be NULL.
  std::uint64_t guid;
  int pointer_support;  // kPointerHost, ... ored
  int speed;            // Mbit/s
  int port;
  float latency;  // us; 0: unknown
  int most_comms;
  int most_receives;  // Grouped in one irecv.
  int device_type;    // kDeviceHost, kDeviceUnpack
  int device_version;
};
SLUICE_ABI_SIZE(Properties, 56);
SLUICE_ABI_OFFSET(Properties, name, 0);
SLUICE_ABI_OFFSET(Properties, pci_path, 8);
SLUICE_ABI_OFFSET(Properties, guid, 16);
SLUICE_ABI_OFFSET(Properties, pointer_support, 24);
SLUICE_ABI_OFFSET(Properties, speed, 28);
SLUICE_ABI_OFFSET(Properties, port, 32);
SLUICE_ABI_OFFSET(Properties, latency, 36);
SLUICE_ABI_OFFSET(Properties, most_comms, 40);
SLUICE_ABI_OFFSET(Properties, most_receives, 44);
SLUICE_ABI_OFFSET(Properties, device_type, 48);
SLUICE_ABI_OFFSET(Properties, device_version, 52);

// ncclNet_v7_t.
struct Table {
  const char* name;
  ResultCode (*init)(DebugLogger logger);
  ResultCode (*devices)(int* count);
  ResultCode (*get_properties)(int device, Properties* properties);
  ResultCode (*listen)(int device, void* handle, void** listen_comm);
  ResultCode (*connect)(int device, void* handle, void** send_comm, DeviceHandle** device_handle);
  ResultCode (*accept)(void* listen_comm, void** recv_comm, DeviceHandle** device_handle);
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
  ResultCode (*get_device_mr)(void* comm, void* memory_handle, void** device_memory_handle);
  ResultCode (*irecv_consumed)(void* recv_comm, int count, void* request);
};
SLUICE_ABI_SIZE(Table, 152);
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

}  // namespace sluice::nccl_abi::v7
