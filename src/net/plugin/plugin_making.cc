#include "src/net/plugin/plugin_making.h"

#include <fmt/format.h>

#include <utility>

#include "src/base/check.h"
#include "src/base/log.h"
#include "src/net/plugin/plugin_channels.h"
#include "src/net/plugin/plugin_library.h"

namespace sluice {
namespace {

using nccl_abi::ResultCode;

MakeAnswer answer_of(PluginContext& context, std::string_view call, ResultCode code, void* comm,
                     Status& failure) {
  if (code != ResultCode::kSuccess) {
    failure = plugin_error(context.table, call, code, StatusCode::kUnavailable);
    return MakeAnswer::kFailed;
  }
  return comm == nullptr ? MakeAnswer::kNotYet : MakeAnswer::kMade;
}

}  // namespace

Result<std::shared_ptr<Accepting>> Accepting::listen(PluginContext& context, int device) {
  context.enter();
  std::shared_ptr<Accepting> made(new Accepting(context));
  const ResultCode code = context.table.listen(device, made->handle_.data(), &made->listen_comm_);
  if (code == ResultCode::kSuccess && made->listen_comm_ != nullptr) return made;
  return plugin_error(context.table, "listen", code, StatusCode::kUnavailable);
}

Accepting::~Accepting() {
  // A plugin's thread that still accepts would use what this frees: who is pending is finished
  // first, or kept.
  if (listen_comm_ == nullptr) return;
  context_.enter();
  (void)context_.table.close_listen(listen_comm_);
}

MakeAnswer Accepting::poll(void** comm, Status& failure) {
  SLUICE_CHECK(!answered_, "one listen comm makes one connection");
  context_.enter();
  asked_ = true;
  nccl_abi::DeviceHandle* const storage = context_.unpacks ? &storage_.handle : nullptr;
  const ResultCode code = context_.table.accept(listen_comm_, comm, storage);
  const MakeAnswer answer = answer_of(context_, "accept", code, *comm, failure);
  answered_ = answer != MakeAnswer::kNotYet;
  return answer;
}

bool Accepting::finish() {
  void* comm = nullptr;
  Status failure;
  const MakeAnswer answer = poll(&comm, failure);
  if (answer == MakeAnswer::kMade) (void)context_.table.close_recv(comm);
  return answered_;
}

MakeAnswer Connecting::poll(void** comm, Status& failure) {
  SLUICE_CHECK(!answered_, "one handle makes one connection");
  context_.enter();
  asked_ = true;
  const ResultCode code = context_.table.connect(device_, handle_.data(), comm);
  const MakeAnswer answer = answer_of(context_, "connect", code, *comm, failure);
  answered_ = answer != MakeAnswer::kNotYet;
  return answer;
}

bool Connecting::finish() {
  void* comm = nullptr;
  Status failure;
  const MakeAnswer answer = poll(&comm, failure);
  if (answer == MakeAnswer::kMade) (void)context_.table.close_send(comm);
  return answered_;
}

PluginListener::PluginListener(std::shared_ptr<Accepting> accepting)
    : accepting_(std::move(accepting)),
      handle_(wrap_handle(accepting_->handle(), accepting_->context().table.version())) {}

// Only an unpacking plugin accepts in a thread of its own; the others let go at closeListen.
PluginListener::~PluginListener() {
  PluginContext& context = accepting_->context();
  if (accepting_->is_pending() && context.unpacks) {
    context.unfinished.push_back(std::move(accepting_));
  }
}

MakeAnswer PluginListener::accept(std::unique_ptr<RecvChannel>& channel, Status& failure) {
  void* comm = nullptr;
  const MakeAnswer answer = accepting_->poll(&comm, failure);
  if (answer != MakeAnswer::kMade) return answer;
  PluginContext& context = accepting_->context();
  std::unique_ptr<UnpackQueue> unpack;
  if (context.unpacks) {
    auto made = UnpackQueue::create(accepting_->device_handle(), context.device_memory);
    if (!made.ok()) {
      (void)context.table.close_recv(comm);
      failure = made.status();
      return MakeAnswer::kFailed;
    }
    unpack = made.take();
    if (!context.gpu && context.device_memory.is_of_gpu(unpack->pool())) {
      (void)context.table.close_recv(comm);
      failure = {
          StatusCode::kInvalidArgument,
          fmt::format("plugin {} leaves what arrives in memory of a GPU, and this engine has "
                      "none: the setting gpu is \"none\", it takes the number of a GPU",
                      context.table.name())};
      return MakeAnswer::kFailed;
    }
  }
  channel = std::make_unique<PluginRecvChannel>(context, comm, std::move(unpack));
  return MakeAnswer::kMade;
}

PluginConnector::~PluginConnector() {
  if (connecting_->is_pending()) {
    connecting_->context().unfinished.push_back(std::move(connecting_));
  }
}

MakeAnswer PluginConnector::connect(std::unique_ptr<SendChannel>& channel, Status& failure) {
  void* comm = nullptr;
  const MakeAnswer answer = connecting_->poll(&comm, failure);
  if (answer == MakeAnswer::kMade) {
    channel = std::make_unique<PluginSendChannel>(connecting_->context(), comm);
  }
  return answer;
}

}  // namespace sluice
