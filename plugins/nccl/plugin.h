// The plugin behind the tables of exports.cc, in one form for all versions: NCCL's calls in our
// types. Thread-safe, as NCCL's service and progress threads of several ranks call it: the mutex
// guards what is shared, each comm and each listener has one thread at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "plugins/nccl/comm.h"
#include "plugins/nccl/gpu_pool.h"
#include "plugins/nccl/gpus.h"
#include "plugins/nccl/nics.h"
#include "src/base/clock.h"
#include "src/base/settings.h"
#include "src/net/plugin/abi.h"
#include "src/net/striped/striped_connector.h"
#include "src/net/striped/striped_listener.h"

namespace sluice::nccl_plugin {

inline constexpr char kPluginName[] = "sluice";

class Plugin {
 public:
  explicit Plugin(std::unique_ptr<Gpus> gpus) : gpus_(std::move(gpus)) {}

  // What an init() of v11 and later hands out, one per communicator; older versions have one for
  // the process.
  struct Context {
    nccl_abi::ProfilerCallback profiler = nullptr;
  };
  // Of one listen comm.
  struct Listening {
    std::unique_ptr<StripedListener> listener;
    nccl_abi::ProfilerCallback profiler = nullptr;
  };

  // Counted. The first one finds the NICs and reads the environment. Both callbacks may be null.
  nccl_abi::ResultCode init(nccl_abi::DebugLogger logger, nccl_abi::ProfilerCallback profiler,
                            Context** context);
  // The last one forgets the NICs and connections that were never made. A context that is none,
  // or none any more, is left alone: NCCL 2.28 finalizes after an init() that failed, too.
  nccl_abi::ResultCode finalize(void* context);

  // Stays valid until the last finalize(). Empty before init().
  [[nodiscard]] const std::vector<Nic>& nics() const { return nics_; }

  // In force from the first init() to the last finalize().
  [[nodiscard]] bool unpacks() const { return unpacks_; }

  // In all of these a context that is none counts as one without a profiler.
  nccl_abi::ResultCode listen(void* context, int device,
                              std::span<std::byte, nccl_abi::kHandleBytes> handle,
                              Listening** listening);
  // Success without a comm: not yet. Again, with the same bytes in the handle. Only tables that
  // know of UNPACK mode may send `from_gpu`.
  nccl_abi::ResultCode connect(void* context, int device,
                               std::span<const std::byte, nccl_abi::kHandleBytes> handle,
                               bool from_gpu, Comm** comm);
  // Filling `device_handle` is UNPACK mode; null: what arrives is put into place here. The GPU is
  // the one that is current on the thread.
  nccl_abi::ResultCode accept(Listening& listening, nccl_abi::DeviceHandle* device_handle,
                              Comm** comm);
  // Whether NCCL may have memory of the GPU registered with the comm.
  nccl_abi::ResultCode admit_gpu_memory(Comm& comm);

 private:
  using Handle = std::array<std::byte, nccl_abi::kHandleBytes>;

  Status prepare();
  [[nodiscard]] nccl_abi::ProfilerCallback profiler_of(void* context) const;
  Result<StripedNic> nic(int device) const;
  void choose_device(const NcclOptions& options);
  // Of the bounce pool of the current GPU.
  Result<GpuPool::Extent> take_extent();

  const SystemClock clock_;
  mutable std::mutex mutex_;
  const std::unique_ptr<Gpus> gpus_;
  std::map<void*, std::unique_ptr<Context>> contexts_;
  std::vector<Nic> nics_;
  StripedNic settings_;  // Of every NIC, but for its address.
  std::atomic<bool> unpacks_{false};
  std::uint64_t pool_bytes_ = 0;
  std::map<std::uint32_t, std::shared_ptr<GpuPool>> pools_;  // By GPU.
  Carried sent_;
  Carried received_;
  // By device and handle. Not kept in the handle, whose bytes may be anything's.
  std::map<std::pair<int, Handle>, std::unique_ptr<StripedConnector>> connecting_;
};

}  // namespace sluice::nccl_plugin
