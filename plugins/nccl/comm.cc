#include "plugins/nccl/comm.h"

#include <utility>

namespace sluice::nccl_plugin {

using nccl_abi::ResultCode;

ResultCode code_of(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return ResultCode::kSuccess;
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
      return ResultCode::kInvalidArgument;
    case StatusCode::kTooLong:
    case StatusCode::kClosed:
      return ResultCode::kInvalidUsage;
    case StatusCode::kPeerLost:
    case StatusCode::kProtocol:
    case StatusCode::kTimedOut:
    case StatusCode::kUnavailable:
    case StatusCode::kDenied:
      return ResultCode::kRemoteError;
    case StatusCode::kSystem:
      return ResultCode::kSystemError;
    case StatusCode::kWouldBlock:
      break;
  }
  return ResultCode::kInternalError;
}

Comm::Comm(std::unique_ptr<StripedChannel> channel, Direction direction,
           nccl_abi::ProfilerCallback profiler)
    : channel_(std::move(channel)), direction_(direction), profiler_(profiler) {}

ResultCode Comm::post(void* data, std::size_t bytes, void* parent, Request** request) {
  std::uint32_t place = 0;
  switch (channel_->post(static_cast<std::byte*>(data), bytes, place)) {
    case PostAnswer::kBusy:
      return ResultCode::kSuccess;
    case PostAnswer::kFailed:
      return code_of(channel_->failure());
    case PostAnswer::kPosted:
      break;
  }
  Request& posted = requests_[place];
  posted = {.comm = this, .place = place, .active = true, .event = nullptr};
  start_event(posted, bytes, parent);
  *request = &posted;
  return ResultCode::kSuccess;
}

ResultCode Comm::test(Request& request, int* done, int* sizes) {
  if (!request.active) return ResultCode::kInvalidUsage;
  std::uint64_t bytes = 0;
  switch (channel_->test(request.place, bytes)) {
    case TestAnswer::kPending:
      return ResultCode::kSuccess;
    case TestAnswer::kFailed:
      stop_event(request);
      return code_of(channel_->failure());
    case TestAnswer::kDone:
      break;
  }
  request.active = false;
  stop_event(request);
  *done = 1;
  if (sizes != nullptr) *sizes = static_cast<int>(bytes);  // At most kOldLargestMessage.
  return ResultCode::kSuccess;
}

void Comm::start_event(Request& request, std::size_t bytes, void* parent) {
  if (profiler_ == nullptr || parent == nullptr) return;
  ProfilerSocketEvent event{.type = kProfilerSocketEvent,
                            .socket = {.fd = channel_->first_socket(),
                                       .op = direction_ == Direction::kSend ? 0 : 1,
                                       .length = bytes}};
  profiler_(&request.event, nccl_abi::kProfilerStart, parent, kProfilerSocketPlugin, &event);
}

void Comm::stop_event(Request& request) {
  if (request.event == nullptr) return;
  profiler_(&request.event, nccl_abi::kProfilerStop, nullptr, 0, nullptr);
  request.event = nullptr;
}

}  // namespace sluice::nccl_plugin
