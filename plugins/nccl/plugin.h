// The plugin behind the tables of exports.cc, in one form for all versions: NCCL's calls in our
// types. Thread-safe, as NCCL's service and progress threads of several ranks call it: the mutex
// guards what is shared, each comm and each listener has one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "plugins/nccl/comm.h"
#include "plugins/nccl/nics.h"
#include "src/base/clock.h"
#include "src/net/plugin/abi.h"
#include "src/net/striped/striped_connector.h"
#include "src/net/striped/striped_listener.h"

namespace sluice::nccl_plugin {

inline constexpr char kPluginName[] = "sluice";

class Plugin {
 public:
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

  // In all of these a context that is none counts as one without a profiler.
  nccl_abi::ResultCode listen(void* context, int device,
                              std::span<std::byte, nccl_abi::kHandleBytes> handle,
                              Listening** listening);
  // Success without a comm: not yet. Again, with the same bytes in the handle.
  nccl_abi::ResultCode connect(void* context, int device,
                               std::span<const std::byte, nccl_abi::kHandleBytes> handle,
                               Comm** comm);
  static nccl_abi::ResultCode accept(Listening& listening, Comm** comm);

 private:
  using Handle = std::array<std::byte, nccl_abi::kHandleBytes>;

  Status prepare();
  [[nodiscard]] nccl_abi::ProfilerCallback profiler_of(void* context) const;
  Result<StripedNic> nic(int device) const;

  const SystemClock clock_;
  mutable std::mutex mutex_;
  std::map<void*, std::unique_ptr<Context>> contexts_;
  std::vector<Nic> nics_;
  StripedNic settings_;  // Of every NIC, but for its address.
  // By device and handle. Not kept in the handle, whose bytes may be anything's.
  std::map<std::pair<int, Handle>, std::unique_ptr<StripedConnector>> connecting_;
};

}  // namespace sluice::nccl_plugin
