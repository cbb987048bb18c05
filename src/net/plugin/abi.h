// The binary interface of NCCL network plugins, in our own words: what all versions have alike.
// abi_v5.h to abi_v12.h add the properties and the table of each one. A plugin exports its table as
// a data object named `ncclNetPlugin_vN`; no table is ever read as another version's.
//
// Header only and without other includes of ours, so that plugins can be written against it.
// `void*` is the interface's own: it knows comms, requests and memory handles by nothing else.
// Source of every number: plugins/net/example/nccl of NCCL 2.19.3 to 2.30.7.
#pragma once

#include <cstddef>
#include <cstdint>

// Nails a layout: the interface is these numbers, not the names. `slot` counts pointers.
#define SLUICE_ABI_SIZE(type, bytes) static_assert(sizeof(type) == (bytes))
#define SLUICE_ABI_OFFSET(type, member, bytes) static_assert(offsetof(type, member) == (bytes))
#define SLUICE_ABI_SLOT(member, slot) SLUICE_ABI_OFFSET(Table, member, (slot) * sizeof(void*))

namespace sluice::nccl_abi {

static_assert(sizeof(void*) == 8 && sizeof(int) == 4 && sizeof(std::size_t) == 8, "LP64 only");

// ncclResult_t. Any other value may come too.
enum class ResultCode : int {
  kSuccess = 0,
  kCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

// ncclDebugLogLevel.
enum class DebugLevel : int {
  kNone = 0,
  kVersion = 1,
  kWarn = 2,
  kInfo = 3,
  kAbort = 4,
  kTrace = 5,
};

// ncclDebugLogSubSys: the bits of a log line's `flags`.
inline constexpr unsigned long kLogInit = 0x1;
inline constexpr unsigned long kLogNet = 0x10;
inline constexpr unsigned long kLogEnv = 0x80;
inline constexpr unsigned long kLogAll = ~0ul;

// ncclDebugLogger_t: how a plugin logs. `file` is a file name or a function name, as the plugin
// likes; the rest is printf's. Called from any thread of the plugin.
using DebugLogger = void (*)(DebugLevel level, unsigned long flags, const char* file, int line,
                             const char* format, ...);

// ncclProfilerCallback_t: what a plugin of v10 or later may call for each request.
using ProfilerCallback = ResultCode (*)(void** event, int type, void* parent,
                                        std::int64_t plugin_id, void* description);
inline constexpr int kProfilerStart = 0;
inline constexpr int kProfilerStop = 1;
inline constexpr int kProfilerUpdate = 2;
inline constexpr int kProfilerUpdateAndStop = 3;

// Kinds of memory: the bits of `ptr_support`, and the `type` of a registration.
inline constexpr int kPointerHost = 1;
inline constexpr int kPointerCuda = 2;
inline constexpr int kPointerDmaBuf = 4;

inline constexpr std::size_t kHandleBytes = 128;  // NCCL_NET_HANDLE_MAXSIZE
inline constexpr int kMostRequests = 32;          // NCCL_NET_MAX_REQUESTS, per comm
inline constexpr int kTestSizes = 64;             // Ints that NCCL hands to test() of a receive
inline constexpr std::size_t kOldLargestMessage = 1ul << 30;       // v8 and older: MAX_NET_SIZE
inline constexpr std::size_t kOldLargestCollective = 512ul << 20;  // MAX_COLLNET_SIZE
inline constexpr std::size_t kLargestMessage = 1ul << 40;          // NCCL_MAX_NET_SIZE_BYTES
inline constexpr int kTrafficClassUndefined = -1;                  // NCCL_NET_TRAFFIC_CLASS_UNDEF
inline constexpr int kAttributeUndefined = -1;                     // NCCL_NET_ATTR_UNDEF
inline constexpr std::int16_t kIdUndefined = -1;                   // NCCL_NET_ID_UNDEF

// What NCCL of v9 and later leaves in `*request` before irecv when it need not be told of the
// arrival: the plugin overwrites it, with NULL or a request.
inline constexpr std::uintptr_t kOptionalReceiveCompletion = 0x1;

// netDeviceType: who puts arrivals into place.
inline constexpr int kDeviceHost = 0;     // The plugin does.
inline constexpr int kDeviceUnpack = 1;   // The caller does, from the metadata below.
inline constexpr int kUnpackVersion = 7;  // NCCL_NET_DEVICE_UNPACK_VERSION, the only one

// ncclNetDeviceHandle_v7_t, the same up to v12: what accept() of an unpacking plugin fills, in
// storage of the caller.
struct DeviceHandle {
  int type;
  int version;
  void* handle;  // In device memory; of kDeviceUnpack: an UnpackDeviceHandle.
  std::size_t size;
  int needs_proxy_progress;
};
SLUICE_ABI_SIZE(DeviceHandle, 32);
SLUICE_ABI_OFFSET(DeviceHandle, type, 0);
SLUICE_ABI_OFFSET(DeviceHandle, version, 4);
SLUICE_ABI_OFFSET(DeviceHandle, handle, 8);
SLUICE_ABI_OFFSET(DeviceHandle, size, 16);
SLUICE_ABI_OFFSET(DeviceHandle, needs_proxy_progress, 24);

// The unpack metadata (src/device/network/unpack/unpack_defs.h of NCCL 2.19.3).
inline constexpr std::uint64_t kUnpackSlots = 16;           // NET_UNPACK_MAX_QUEUE_DEPTH
inline constexpr std::uint64_t kUnpackEntries = 2048;       // NET_UNPACK_MAX_SLICE_PAGES
inline constexpr std::uint64_t kUnpackPageBytes = 4096;     // SLICE_PAGE_SIZE
inline constexpr std::uint64_t kLargestUnpack = 4ul << 20;  // NET_UNPACK_MAX_SLICE_SIZE

// loadMeta: one piece of a message in the bounce pool.
struct alignas(16) UnpackEntry {
  std::uint32_t source_offset;       // bytes from the start of the bounce pool
  std::uint32_t length;              // bytes
  std::uint64_t destination_offset;  // bytes from the start of what was given to irecv
};
SLUICE_ABI_SIZE(UnpackEntry, 16);
SLUICE_ABI_OFFSET(UnpackEntry, source_offset, 0);
SLUICE_ABI_OFFSET(UnpackEntry, length, 4);
SLUICE_ABI_OFFSET(UnpackEntry, destination_offset, 8);

// netUnpackMeta, in host memory that the device can read. The k-th irecv of a comm has slot
// k % kUnpackSlots, a message of no bytes too; its entries are stable from the test that said done
// until irecvConsumed.
struct UnpackMeta {
  UnpackEntry entries[kUnpackSlots][kUnpackEntries];
  std::uint64_t counts[kUnpackSlots];
};
SLUICE_ABI_SIZE(UnpackMeta, 524416);
SLUICE_ABI_OFFSET(UnpackMeta, entries, 0);
SLUICE_ABI_OFFSET(UnpackMeta, counts, 524288);

// unpackNetDeviceHandle, in device memory.
struct UnpackDeviceHandle {
  UnpackMeta* meta;    // The address for the device; the host's is the same.
  void* bounce_pool;   // In device memory.
  std::uint64_t head;  // NCCL's kernels count here; ~0 at first, so that the first slot is 0.
};
SLUICE_ABI_SIZE(UnpackDeviceHandle, 24);
SLUICE_ABI_OFFSET(UnpackDeviceHandle, meta, 0);
SLUICE_ABI_OFFSET(UnpackDeviceHandle, bounce_pool, 8);
SLUICE_ABI_OFFSET(UnpackDeviceHandle, head, 16);

// ncclNetCommConfig, v10 to v12.
struct CommConfig {
  int traffic_class;
};
SLUICE_ABI_SIZE(CommConfig, 4);

}  // namespace sluice::nccl_abi
