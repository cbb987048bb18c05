// Where an engine's parts are chosen and wired: the only place that knows every implementation.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "sluice/engine.h"
#include "src/base/log.h"
#include "src/base/settings.h"
#include "src/engine/engine_impl.h"
#include "src/engine/secret.h"
#include "src/gpu/cuda_gpu.h"
#include "src/gpu/host_gpu.h"
#include "src/net/plugin/plugin_net.h"
#include "src/net/tcp/host_address.h"
#include "src/net/tcp/tcp_control.h"
#include "src/net/tcp/tcp_net.h"

namespace sluice {
namespace {

// One channel a core uses the machine; fewer than two leave a core idle while the other waits.
std::uint32_t channels_of(const Options& options) {
  if (options.channels != 0) return options.channels;
  return static_cast<std::uint32_t>(std::clamp(sysconf(_SC_NPROCESSORS_ONLN), 2L, 8L));
}

std::string default_name() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("{}:{}", host.data(), getpid());
}

CopyBy copy_by(const std::string& word) {
  return word == "kernel" ? CopyBy::kKernel : word == "copy" ? CopyBy::kCopy : CopyBy::kAuto;
}

constexpr char kNoGpu[] = "none";

Result<std::uint32_t> index_of_gpu(const Options& options) {
  const auto index = parse_number(options.gpu);
  if (index.ok() && *index <= UINT16_MAX) return static_cast<std::uint32_t>(*index);
  return Status(
      StatusCode::kInvalidArgument,
      fmt::format("gpu: \"{}\" is not legal, legal are none and the number of a GPU", options.gpu));
}

// The legal words of gpu_unpack and gpu_pack have been checked.
Result<std::unique_ptr<Gpu>> gpu_of(const Options& options) {
  if (options.gpu == kNoGpu) return std::unique_ptr<Gpu>(std::make_unique<HostGpu>());
  const auto index = index_of_gpu(options);
  if (!index.ok()) return index.status();
  return open_cuda_gpu({.index = *index,
                        .sms = options.gpu_sms,
                        .unpack = copy_by(options.gpu_unpack),
                        .pack = copy_by(options.gpu_pack),
                        .linger = from_us(options.gpu_linger_us)});
}

Result<std::string> advertised_host(const Options& options) {
  const std::string& named =
      options.advertise_host.empty() ? options.listen_host : options.advertise_host;
  if (named.empty()) return first_global_address();
  auto address = listen_address(named, 0);
  if (!address.ok()) return address.status();
  return address->host();
}

Result<std::unique_ptr<Net>> make_tcp_net(const Options& options, const Clock& clock) {
  TcpNetOptions tcp;
  tcp.bind_host = options.listen_host;
  tcp.congestion_control = options.congestion_control;
  tcp.receive_buffer_bytes = options.receive_buffer_bytes;
  tcp.send_by_reference = options.send_by_reference != 0;
  tcp.spin_us = options.spin_us;
  tcp.window = options.window;
  tcp.hello_timeout = from_ms(options.handshake_timeout_ms);
  auto net = TcpNet::create(tcp, clock);
  if (!net.ok()) return net.status();
  return std::unique_ptr<Net>(net.take());
}

// A plugin finds its NICs by its own settings: listen_host is not for it.
Result<std::unique_ptr<Net>> make_plugin_net(const Options& options, const Clock& clock) {
  constexpr std::string_view kPrefix = "plugin:";
  PluginNetOptions plugin;
  if (options.net.starts_with(kPrefix)) plugin.plugin = options.net.substr(kPrefix.size());
  plugin.chunk_bytes = options.chunk_bytes;
  plugin.stall_timeout = from_ms(options.peer_timeout_ms);
  plugin.gpu = options.gpu != kNoGpu;
  if (plugin.gpu) {
    const auto index = index_of_gpu(options);
    if (!index.ok()) return index.status();
    // Plugins take the GPU that is current for theirs.
    plugin.enter_thread = [index = *index] {
      Status status = make_cuda_gpu_current(index);
      if (!status.ok()) SLUICE_LOG(kError, "plugin", "{}", status.to_string());
    };
  }
  auto net = PluginNet::create(plugin, clock);
  if (!net.ok()) return net.status();
  const std::vector<Device>& devices = (*net)->devices();
  const bool host_memory = std::any_of(devices.begin(), devices.end(),
                                       [](const Device& device) { return device.host_memory; });
  if (!plugin.gpu && !host_memory) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("net {} takes memory of a GPU alone, and this engine has none: gpu is "
                    "\"none\", legal is the number of a GPU too",
                    (*net)->name()));
  }
  return std::unique_ptr<Net>(net.take());
}

Result<std::unique_ptr<Net>> make_net(const Options& options, const Clock& clock) {
  return options.net == "tcp" ? make_tcp_net(options, clock) : make_plugin_net(options, clock);
}

// The place of the Device that `device` names. Behind a name that nobody gave, but that a NIC near
// the engine has, is a '?': a plugin may call its Devices otherwise.
Result<std::uint32_t> device_of(const Net& net, std::string_view device) {
  const bool guessed = device.ends_with('?');
  if (guessed) device.remove_suffix(1);
  if (device.empty()) return std::uint32_t{0};
  std::string names;
  for (std::uint32_t i = 0; i < net.devices().size(); ++i) {
    if (net.devices()[i].name == device) return i;
    names += (i == 0 ? "" : ", ") + net.devices()[i].name;
  }
  if (guessed && net.devices().size() == 1) {
    SLUICE_LOG(kWarning, "library", "net {} has no device {}, the NIC near this engine: taking {}",
               net.name(), device, names);
    return std::uint32_t{0};
  }
  return Status(StatusCode::kInvalidArgument,
                fmt::format("device: net {} has no \"{}\"{}, it has {}", net.name(), device,
                            guessed ? ", which is the NIC near this engine as sluice topo shows it "
                                      "(--device NAME takes another)"
                                    : "",
                            names));
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(const Options& options) {
  Status status = validate(options);
  if (!status.ok()) return status;
  auto level = parse_log_level(options.log_level);
  if (!level.ok()) return level.status();
  set_log_level(*level);

  EngineParts parts;
  parts.options = options;
  if (parts.options.name.empty()) parts.options.name = default_name();
  parts.channels = channels_of(options);
  auto clock = std::make_shared<SystemClock>();
  parts.clock = clock;
  auto host = advertised_host(options);
  if (!host.ok()) return host.status();
  parts.advertise_host = host.take();

  // First: a wrong number of a GPU is told before a plugin looks for it.
  auto gpu = gpu_of(options);
  if (!gpu.ok()) return gpu.status();
  parts.gpu = gpu.take();
  auto net = make_net(options, *clock);
  if (!net.ok()) return net.status();
  parts.net = net.take();
  const auto device = device_of(*parts.net, options.device);
  if (!device.ok()) return device.status();
  parts.device = *device;

  auto control = TcpControlNet::create();
  if (!control.ok()) return control.status();
  parts.control = control.take();
  return make_engine(std::move(parts));
}

Result<std::string> make_address(std::string_view host, std::uint16_t port,
                                 std::string_view token) {
  if (port == 0) {
    return Status(StatusCode::kInvalidArgument, "port 0: an engine listens on 1 to 65535");
  }
  auto resolved = resolve_host(std::string(host), port);
  if (!resolved.ok()) return resolved.status();
  return Address{resolved->host(), port, secret_of(token)}.to_string();
}

}  // namespace sluice
