// What the parts of one plugin Net share. Everything outlives them but what is said to be kept.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "src/base/clock.h"
#include "src/net/net.h"
#include "src/net/plugin/device_memory.h"
#include "src/net/plugin/plugin_table.h"

namespace sluice {

class PluginMemory;

// A connection that nobody waits for any more, but that the plugin still works on.
class UnfinishedMaking {
 public:
  virtual ~UnfinishedMaking() = default;
  // Asks the plugin again. True: it has given its last word, and what it made is closed.
  virtual bool finish() = 0;
};

// To be told before any call that may start threads or write into sockets: a plugin that does so
// without MSG_NOSIGNAL would end the process when a peer dies. SIGPIPE is blocked in the calling
// thread, for good, the first time that it comes; threads of the plugin inherit that.
// `enter_thread` is called with it. Costs a comparison afterwards.
class PluginThread {
 public:
  explicit PluginThread(std::function<void()> enter_thread)
      : enter_thread_(std::move(enter_thread)) {}
  void enter() {
    if (!any_ || !pthread_equal(last_, pthread_self())) [[unlikely]]
      enter_first();
  }

 private:
  void enter_first();

  const std::function<void()> enter_thread_;  // May be empty.

  pthread_t last_{};
  bool any_ = false;
};

// How many abandoned makings a Net holds before it makes no more.
inline constexpr std::size_t kMostUnfinished = 64;

struct PluginContext {
  PluginTable& table;
  const Clock& clock;
  Nanoseconds stall_timeout;  // 0: none.
  bool gpu;                   // PluginNetOptions'
  bool unpacks;               // The device is of type UNPACK.
  std::uint32_t window;       // Chunks in flight on a channel that the plugin takes.
  std::uint64_t largest_chunk;
  DeviceMemory device_memory;
  std::vector<PluginMemory*> memories;  // All that live.
  // Makings that were given up. shared_ptr: at the end of the Net they go to keep_for_plugin().
  std::vector<std::shared_ptr<UnfinishedMaking>> unfinished;
  std::vector<bool> slots_taken;  // By comms: small numbers that index what a memory knows of each.
  PluginThread thread;
  bool told_of_sizes = false;

  void enter() { thread.enter(); }
};

}  // namespace sluice
