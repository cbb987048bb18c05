#include "src/net/plugin/plugin_net.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>

#include "src/base/check.h"
#include "src/base/log.h"
#include "src/net/plugin/plugin_handle.h"
#include "src/net/plugin/plugin_making.h"
#include "src/net/plugin/plugin_memory.h"

namespace sluice {
namespace {

using nccl_abi::ResultCode;

// Requests that a comm takes. v5 and v6 were written for 8 (NCCL_NET_MAX_REQUESTS of their time);
// the one plugin that matters of v7 has 16, and fails at the seventeenth; 32 since.
std::uint32_t window_for(int table_version) {
  if (table_version <= 6) return 8;
  return table_version == 7 ? 16 : nccl_abi::kMostRequests;
}

// One message of GPUDirect-TCPX is one of its own chunks at most: it never gives back the pages of
// a second one. What fits its metadata bounds it too.
std::uint64_t largest_chunk_of(const PluginDevice& device, std::uint64_t dynamic_chunk_bytes) {
  if (device.device_type != nccl_abi::kDeviceUnpack) return device.largest_message;
  return std::min({device.largest_message, dynamic_chunk_bytes, nccl_abi::kLargestUnpack});
}

// GPUDirect-TCPX and what stands in for it: nothing else of v7 unpacks.
bool is_tcpx(const PluginContext& context) {
  return context.unpacks && context.table.version() == 7;
}

}  // namespace

void PluginThread::block_sigpipe() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  last_ = pthread_self();
  any_ = true;
}

PluginNet::PluginNet(LoadedPlugin plugin, const PluginNetOptions& options, const Clock& clock)
    : plugin_(std::move(plugin)),
      name_(fmt::format("plugin:{}", plugin_.table->name())),
      context_{.table = *plugin_.table,
               .clock = clock,
               .stall_timeout = options.stall_timeout,
               .unpacks = false,
               .window = window_for(plugin_.table->version()),
               .largest_chunk = 0,
               .device_memory = {},
               .memories = {},
               .unfinished = {},
               .slots_taken = {},
               .thread = {}} {}

PluginNet::~PluginNet() {
  SLUICE_CHECK(context_.memories.empty(), "{} memories left", context_.memories.size());
  progress();
  for (auto& making : context_.unfinished) keep_for_plugin(std::move(making));
  (void)plugin_.table->finalize();
}

Result<std::unique_ptr<PluginNet>> PluginNet::create(const PluginNetOptions& options,
                                                     const Clock& clock) {
  PluginThread().enter();
  auto plugin = load_plugin(options.plugin, options.chunk_bytes);
  if (!plugin.ok()) return plugin.status();
  return create(plugin.take(), options, clock);
}

Result<std::unique_ptr<PluginNet>> PluginNet::create(LoadedPlugin plugin,
                                                     const PluginNetOptions& options,
                                                     const Clock& clock) {
  std::unique_ptr<PluginNet> net(new PluginNet(std::move(plugin), options, clock));
  Status status = net->add_devices();
  if (!status.ok()) return status.with_context(net->plugin_.file);
  return net;
}

Status PluginNet::add_devices() {
  for (int i = 0; i < plugin_.devices; ++i) {
    PluginDevice properties;
    const ResultCode code = context_.table.get_properties(i, properties);
    if (code != ResultCode::kSuccess) return plugin_error(context_.table, "getProperties", code);
    const bool unpacks = properties.device_type == nccl_abi::kDeviceUnpack;
    if ((!unpacks && properties.device_type != nccl_abi::kDeviceHost) ||
        (unpacks && properties.device_version != nccl_abi::kUnpackVersion) ||
        (unpacks && !context_.table.wants_consumed()) || (i > 0 && unpacks != context_.unpacks)) {
      return {StatusCode::kInvalidArgument,
              fmt::format("device {} ({}) of plugin {} is of type {} version {}, which cannot be "
                          "driven",
                          i, properties.name, context_.table.name(), properties.device_type,
                          properties.device_version)};
    }
    context_.unpacks = unpacks;
    Device device;
    device.name = properties.name.empty() ? fmt::format("{}", i) : properties.name;
    device.pci_path = properties.pci_path;
    device.gbits_per_s = std::max(0, properties.speed_mbits) / 1000.0;
    // Device memory of an unpacking plugin is host memory in disguise until there is a Gpu that
    // unpacks in it.
    device.host_memory = unpacks || (properties.pointer_support & nccl_abi::kPointerHost) != 0;
    device.cuda_memory = !unpacks && (properties.pointer_support & nccl_abi::kPointerCuda) != 0;
    // GPUDirect-TCPX fails the receiver when the sender closes before it has read the
    // announcements (`sluice probe`, case sender-closes); NCCL never does.
    device.sent_survives_close = false;
    device.delivery = unpacks ? Delivery::kFragments : Delivery::kInPlace;
    device.largest_chunk = largest_chunk_of(properties, plugin_.dynamic_chunk_bytes);
    device.most_in_flight = context_.window;
    context_.largest_chunk = std::max(context_.largest_chunk, device.largest_chunk);
    devices_.push_back(std::move(device));
  }
  return {};
}

Result<std::unique_ptr<NetMemory>> PluginNet::register_memory(std::span<std::byte> range,
                                                              Memory kind) {
  const Device& device = devices_.front();
  if (kind == Memory::kCuda ? !device.cuda_memory : !device.host_memory) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("net {} does not take {} memory; {} bytes at {}", name_,
                              kind == Memory::kCuda ? "CUDA" : "host", range.size(),
                              static_cast<const void*>(range.data())));
  }
  return std::unique_ptr<NetMemory>(new PluginMemory(context_, range, kind));
}

Status PluginNet::check_making(std::uint32_t device) const {
  if (device >= devices_.size()) {
    return {StatusCode::kInvalidArgument,
            fmt::format("device {} of net {}, which has {}", device, name_, devices_.size())};
  }
  if (context_.unfinished.size() < kMostUnfinished) return {};
  return {StatusCode::kUnavailable,
          fmt::format("{} connections that were given up are still with plugin {}",
                      context_.unfinished.size(), context_.table.name())};
}

Result<std::unique_ptr<Listener>> PluginNet::listen(std::uint32_t device,
                                                    std::string_view /*reach*/) {
  if (Status status = check_making(device); !status.ok()) return status;
  auto accepting = Accepting::listen(context_, static_cast<int>(device));
  if (!accepting.ok()) return accepting.status();
  return std::unique_ptr<Listener>(new PluginListener(accepting.take()));
}

Result<std::unique_ptr<Connector>> PluginNet::connect(std::uint32_t device,
                                                      std::span<const std::byte> handle) {
  if (Status status = check_making(device); !status.ok()) return status;
  auto unwrapped = unwrap_handle(handle, context_.table.version(), is_tcpx(context_));
  if (!unwrapped.ok()) return unwrapped.status();
  return std::unique_ptr<Connector>(new PluginConnector(
      std::make_shared<Connecting>(context_, static_cast<int>(device), *unwrapped)));
}

void PluginNet::progress() {
  std::erase_if(context_.unfinished, [](const auto& making) { return making->finish(); });
}

}  // namespace sluice
