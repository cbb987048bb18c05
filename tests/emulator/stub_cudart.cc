// libcudart for machines without a GPU: the runtime calls of the TCPX plugin. With a GPU the
// machine's own is used.
#include <cstring>

#include "tests/emulator/stub_device.h"

#define SLUICE_STUB extern "C" __attribute__((visibility("default")))

namespace {

// cudaError_t.
enum : int { kSuccess = 0, kInvalidDevice = 101 };

void* fat_binary = nullptr;  // No kernel is ever launched.

}  // namespace

SLUICE_STUB int cudaGetDevice(int* device) {
  *device = 0;
  return kSuccess;
}
SLUICE_STUB int cudaSetDevice(int device) { return device == 0 ? kSuccess : kInvalidDevice; }
SLUICE_STUB int cudaGetDeviceCount(int* count) {
  *count = 1;
  return kSuccess;
}
SLUICE_STUB int cudaDeviceGetByPCIBusId(int* device, const char* text) {
  *device = 0;
  return std::strcmp(text, sluice::emulator::kStubGpu) == 0 ? kSuccess : kInvalidDevice;
}
SLUICE_STUB const char* cudaGetErrorName(int result) {
  return result == kSuccess ? "cudaSuccess" : "cudaError";
}
SLUICE_STUB const char* cudaGetErrorString(int result) {
  return result == kSuccess ? "no error" : "an error of the emulator's libcudart";
}
SLUICE_STUB void** __cudaRegisterFatBinary(void*) { return &fat_binary; }
SLUICE_STUB void __cudaRegisterFatBinaryEnd(void**) {}
SLUICE_STUB void __cudaUnregisterFatBinary(void**) {}
