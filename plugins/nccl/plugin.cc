#include "plugins/nccl/plugin.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "plugins/nccl/environment.h"
#include "src/base/log.h"

namespace sluice::nccl_plugin {

using nccl_abi::DebugLevel;
using nccl_abi::ResultCode;

namespace {

// The log's sink has no room for a context: the logger is global, and so is this.
std::atomic<nccl_abi::DebugLogger> nccl_logger{nullptr};

void log_to_nccl(LogLevel level, std::string_view line) {
  const nccl_abi::DebugLogger logger = nccl_logger.load(std::memory_order_acquire);
  if (logger == nullptr) return;
  DebugLevel nccl_level = DebugLevel::kTrace;
  if (level <= LogLevel::kInfo) nccl_level = DebugLevel::kInfo;
  if (level <= LogLevel::kWarning) nccl_level = DebugLevel::kWarn;
  logger(nccl_level, nccl_abi::kLogInit | nccl_abi::kLogNet, kPluginName, 0, "NET/%s : %.*s",
         kPluginName, static_cast<int>(line.size()), line.data());
}

// NCCL has several comms to a peer, so that each needs few sockets; more than the cores can drive
// only cost.
std::uint16_t default_sockets() {
  const long cores = ::sysconf(_SC_NPROCESSORS_ONLN);
  return static_cast<std::uint16_t>(std::clamp(cores / 4, 1L, 4L));
}

ResultCode failed(const char* what, const Status& status) {
  SLUICE_LOG(kWarning, "nccl", "{}: {}", what, status.to_string());
  return code_of(status);
}

ResultCode no_memory(const char* what, const Status& status) {
  failed(what, status);
  return ResultCode::kSystemError;
}

}  // namespace

ResultCode Plugin::init(nccl_abi::DebugLogger logger, nccl_abi::ProfilerCallback profiler,
                        Context** context) {
  const std::lock_guard lock(mutex_);
  nccl_logger.store(logger, std::memory_order_release);
  set_log_sink(logger == nullptr ? nullptr : log_to_nccl);
  if (contexts_.empty()) {
    if (Status status = prepare(); !status.ok()) return failed("init", status);
  }
  auto made = std::make_unique<Context>(Context{profiler});
  *context = made.get();
  contexts_.emplace(made.get(), std::move(made));
  return ResultCode::kSuccess;
}

Status Plugin::prepare() {
  const Result<Options> options = options_from_environment();
  if (!options.ok()) return options.status();
  const Result<LogLevel> level = parse_log_level(options->log_level);
  if (!level.ok()) return level.status();
  // NCCL filters by NCCL_DEBUG what is no more than information.
  set_log_level(std::max(*level, LogLevel::kInfo));
  const Result<NcclEnvironment> environment = nccl_environment();
  if (!environment.ok()) return environment.status();
  Result<std::vector<Nic>> nics = find_nics(environment->interfaces);
  if (!nics.ok()) return nics.status();

  const Result<NcclOptions> own = nccl_options_from_environment();
  if (!own.ok()) return own.status();
  choose_device(*own);
  settings_.sockets = environment->sockets != 0 ? environment->sockets : default_sockets();
  settings_.congestion_control = options->congestion_control;
  settings_.receive_buffer_bytes = options->receive_buffer_bytes;
  settings_.spin_us = options->spin_us;
  settings_.hello_timeout = from_ms(options->handshake_timeout_ms);
  nics_ = nics.take();
  std::string list;
  for (const Nic& nic : nics_) {
    list += fmt::format(" {} ({}, {} Mbit/s)", nic.name, nic.address.host(), nic.speed_mbits);
  }
  SLUICE_LOG(kInfo, "nccl", "{} devices, {} sockets a connection, {} mode:{}", nics_.size(),
             settings_.sockets, unpacks_ ? "UNPACK" : "HOST", list);
  return {};
}

void Plugin::choose_device(const NcclOptions& options) {
  unpacks_ = false;
  pool_bytes_ = options.nccl_pool_bytes;
  if (options.nccl_device != "unpack") return;
  const std::string obstacles = unpack_obstacles();
  if (!obstacles.empty()) {
    SLUICE_LOG(kWarning, "nccl", "UNPACK mode needs {}: HOST mode is used", obstacles);
  } else if (gpus_->count() == 0) {
    SLUICE_LOG(kWarning, "nccl", "UNPACK mode needs a GPU, there is none: HOST mode is used");
  } else {
    unpacks_ = true;
  }
}

Result<GpuPool::Extent> Plugin::take_extent() {
  const Result<std::uint32_t> index = gpus_->current();
  if (!index.ok()) return index.status();
  const std::lock_guard lock(mutex_);
  auto found = pools_.find(*index);
  if (found == pools_.end()) {
    Result<std::unique_ptr<Gpu>> gpu = gpus_->open(*index);
    if (!gpu.ok()) return gpu.status();
    auto pool = GpuPool::create(gpu.take(), pool_bytes_, UnpackReceiver::kExtentBytes);
    if (!pool.ok()) return pool.status();
    found = pools_.emplace(*index, pool.take()).first;
  }
  return found->second->take();
}

ResultCode Plugin::admit_gpu_memory(Comm& comm) {
  if (!comm.admit_gpu_memory()) {
    SLUICE_LOG(kInfo, "nccl",
               "memory of a GPU is not registered: it is none of NCCL's buffers, "
               "or this is no UNPACK mode");
    return ResultCode::kInvalidArgument;
  }
  if (!comm.needs_staging()) return ResultCode::kSuccess;
  Result<GpuPool::Extent> extent = take_extent();
  if (!extent.ok()) return no_memory("regMr", extent.status());
  comm.stage_in(extent.take());
  return ResultCode::kSuccess;
}

ResultCode Plugin::finalize(void* context) {
  const std::lock_guard lock(mutex_);
  if (contexts_.erase(context) == 0 || !contexts_.empty()) return ResultCode::kSuccess;
  SLUICE_LOG(kInfo, "nccl", "carried: {} messages of {} bytes sent, {} of {} received",
             sent_.messages.load(), sent_.bytes.load(), received_.messages.load(),
             received_.bytes.load());
  connecting_.clear();
  pools_.clear();
  nics_.clear();
  set_log_sink(nullptr);
  set_log_level(LogLevel::kWarning);
  nccl_logger.store(nullptr, std::memory_order_release);
  return ResultCode::kSuccess;
}

nccl_abi::ProfilerCallback Plugin::profiler_of(void* context) const {
  const auto found = contexts_.find(context);
  return found == contexts_.end() ? nullptr : found->second->profiler;
}

Result<StripedNic> Plugin::nic(int device) const {
  if (device < 0 || static_cast<std::size_t>(device) >= nics_.size()) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("device {}: there are {}", device, nics_.size()));
  }
  StripedNic nic = settings_;
  nic.address = nics_[static_cast<std::size_t>(device)].address;
  return nic;
}

ResultCode Plugin::listen(void* context, int device,
                          std::span<std::byte, nccl_abi::kHandleBytes> handle,
                          Listening** listening) {
  const std::lock_guard lock(mutex_);
  Result<StripedNic> chosen = nic(device);
  if (!chosen.ok()) return failed("listen", chosen.status());
  auto listener = StripedListener::create(chosen.take(), clock_);
  if (!listener.ok()) return failed("listen", listener.status());
  static_assert(kStripedHandleBytes == nccl_abi::kHandleBytes);
  std::copy((*listener)->handle().begin(), (*listener)->handle().end(), handle.begin());
  *listening = new Listening{listener.take(), profiler_of(context)};
  return ResultCode::kSuccess;
}

ResultCode Plugin::connect(void* context, int device,
                           std::span<const std::byte, nccl_abi::kHandleBytes> handle, bool from_gpu,
                           Comm** comm) {
  const std::lock_guard lock(mutex_);
  std::pair<int, Handle> key{device, {}};
  std::copy(handle.begin(), handle.end(), key.second.begin());
  auto connecting = connecting_.find(key);
  if (connecting == connecting_.end()) {
    const Result<StripedNic> chosen = nic(device);
    if (!chosen.ok()) return failed("connect", chosen.status());
    auto connector = StripedConnector::create(*chosen, handle);
    if (!connector.ok()) return failed("connect", connector.status());
    connecting = connecting_.emplace(key, connector.take()).first;
  }
  std::unique_ptr<StripedChannel> channel;
  Status failure;
  const MakeAnswer answer = connecting->second->connect(channel, failure);
  if (answer == MakeAnswer::kNotYet) return ResultCode::kSuccess;
  connecting_.erase(connecting);
  if (answer == MakeAnswer::kFailed) return failed("connect", failure);
  *comm = new Comm(std::move(channel), {.direction = Comm::Direction::kSend,
                                        .profiler = profiler_of(context),
                                        .carried = &sent_,
                                        .takes_gpu_memory = from_gpu && unpacks_,
                                        .unpack_into = {}});
  return ResultCode::kSuccess;
}

ResultCode Plugin::accept(Listening& listening, nccl_abi::DeviceHandle* device_handle,
                          Comm** comm) {
  std::unique_ptr<StripedChannel> channel;
  Status failure;
  switch (listening.listener->accept(channel, failure)) {
    case MakeAnswer::kNotYet:
      return ResultCode::kSuccess;
    case MakeAnswer::kFailed:
      return failed("accept", failure);
    case MakeAnswer::kMade:
      break;
  }
  Comm::Parts parts{.direction = Comm::Direction::kReceive,
                    .profiler = listening.profiler,
                    .carried = &received_,
                    .takes_gpu_memory = device_handle != nullptr,
                    .unpack_into = {}};
  if (device_handle != nullptr) {
    Result<GpuPool::Extent> extent = take_extent();
    if (!extent.ok()) return no_memory("accept", extent.status());
    parts.unpack_into.emplace(extent.take());
  }
  *comm = new Comm(std::move(channel), std::move(parts));
  if (device_handle != nullptr) (*comm)->describe(*device_handle);
  return ResultCode::kSuccess;
}

}  // namespace sluice::nccl_plugin
