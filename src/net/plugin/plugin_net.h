// The Net over a NCCL network plugin: GPUDirect-TCPX first of all, and any other with a table of v5
// to v12. docs/nets.md tells the calls that a plugin sees as a sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/clock.h"
#include "src/net/net.h"
#include "src/net/plugin/plugin_context.h"
#include "src/net/plugin/plugin_library.h"

namespace sluice {

struct PluginNetOptions {
  std::string plugin{};                        // A path, a name, or "" for the usual search.
  std::uint64_t chunk_bytes = 512 << 10;       // For NCCL_DYNAMIC_CHUNK_SIZE where it is not set.
  Nanoseconds stall_timeout = from_ms(10000);  // Of a channel that finishes no chunk; 0: none.
  // The engine has a GPU, which unpacks what an unpacking plugin leaves in its pool: chunks are
  // memory of that GPU. Otherwise such a plugin must have a pool that the host reads, and gets
  // memory of the host under the name of a device's.
  bool gpu = false;
  // Called in a thread before it calls the plugin for the first time: makes the GPU current.
  std::function<void()> enter_thread{};
};

// Polled only: a plugin has nothing that would wake us. Blocks SIGPIPE in the threads that use it.
class PluginNet final : public Net {
 public:
  // `clock` outlives the Net. Fails as load_plugin() does; kInvalidArgument: a device that asks for
  // something that the Net cannot give.
  static Result<std::unique_ptr<PluginNet>> create(const PluginNetOptions& options,
                                                   const Clock& clock);
  // Over a plugin that is loaded already.
  static Result<std::unique_ptr<PluginNet>> create(LoadedPlugin plugin,
                                                   const PluginNetOptions& options,
                                                   const Clock& clock);
  ~PluginNet() override;

  // "plugin:" and the plugin's own name: the ends of a channel must have the same.
  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] const std::vector<Device>& devices() const override { return devices_; }
  Result<std::unique_ptr<NetMemory>> register_memory(std::span<std::byte> range,
                                                     Memory kind) override;
  // kUnavailable: too many that were given up are still with the plugin.
  Result<std::unique_ptr<Listener>> listen(std::uint32_t device, std::string_view reach) override;
  Result<std::unique_ptr<Connector>> connect(std::uint32_t device,
                                             std::span<const std::byte> handle) override;
  void progress() override;

  [[nodiscard]] int wake_fd() const override { return -1; }
  void arm() override {}
  void disarm() override {}

 private:
  PluginNet(LoadedPlugin plugin, const PluginNetOptions& options, const Clock& clock);
  Status add_devices();
  [[nodiscard]] Status check_making(std::uint32_t device) const;

  const LoadedPlugin plugin_;
  const std::string name_;
  PluginContext context_;
  std::vector<Device> devices_;
};

}  // namespace sluice
