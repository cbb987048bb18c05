#include "plugins/nccl/comm.h"

#include <utility>

#include "src/base/log.h"

namespace sluice::nccl_plugin {

using nccl_abi::ResultCode;

namespace {

// That NCCL has of a connection: one for each of its protocols.
constexpr int kOwnBuffers = 3;

}  // namespace

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
    case StatusCode::kCancelled:  // None of them has a place here.
    case StatusCode::kCorrupted:
      break;
  }
  return ResultCode::kInternalError;
}

Comm::Comm(std::unique_ptr<StripedChannel> channel, Parts parts)
    : direction_(parts.direction),
      profiler_(parts.profiler),
      carried_(*parts.carried),
      takes_gpu_memory_(parts.takes_gpu_memory),
      channel_(std::move(channel)) {
  if (parts.unpack_into.has_value()) unpack_.emplace(std::move(*parts.unpack_into));
}

Comm::~Comm() {
  carried_.messages.fetch_add(messages_, std::memory_order_relaxed);
  carried_.bytes.fetch_add(bytes_, std::memory_order_relaxed);
}

bool Comm::admit_gpu_memory() {
  return takes_gpu_memory_ && !posted_.load(std::memory_order_relaxed) &&
         gpu_registrations_++ < kOwnBuffers;
}

PostAnswer Comm::post_message(std::byte* data, std::size_t bytes, StagedSender::From from,
                              std::uint32_t& place) {
  if (staged_.has_value()) return staged_->post(data, bytes, from, place);
  if (unpack_.has_value()) {
    data = unpack_->place(bytes);
    // The channel has more places than the metadata has slots.
    if (data == nullptr) return PostAnswer::kBusy;
  }
  return channel_->post(data, bytes, place);
}

bool Comm::too_long(std::size_t bytes, StagedSender::From from) const {
  if (unpack_.has_value()) return bytes > UnpackReceiver::kRoomBytes;
  return from == StagedSender::From::kGpu && bytes > staged_->largest();
}

ResultCode Comm::post(void* data, std::size_t bytes, StagedSender::From from, void* parent,
                      Request** request) {
  posted_.store(true, std::memory_order_relaxed);
  if (too_long(bytes, from)) {
    SLUICE_LOG(kWarning, "nccl",
               "a message of {} bytes: in UNPACK mode {} are the most, a smaller NCCL_BUFFSIZE "
               "makes them so",
               bytes, UnpackReceiver::kRoomBytes);
    return ResultCode::kInvalidUsage;
  }
  std::uint32_t place = 0;
  switch (post_message(static_cast<std::byte*>(data), bytes, from, place)) {
    case PostAnswer::kBusy:
      return ResultCode::kSuccess;
    case PostAnswer::kFailed:
      return code_of(failure());
    case PostAnswer::kPosted:
      break;
  }
  Request& posted = requests_[place];
  posted = {.comm = this, .place = place, .number = messages_++, .active = true, .event = nullptr};
  start_event(posted, bytes, parent);
  *request = &posted;
  return ResultCode::kSuccess;
}

ResultCode Comm::test(Request& request, int* done, int* sizes) {
  if (!request.active) return ResultCode::kInvalidUsage;
  std::uint64_t bytes = 0;
  const TestAnswer answer = staged_.has_value() ? staged_->test(request.place, bytes)
                                                : channel_->test(request.place, bytes);
  switch (answer) {
    case TestAnswer::kPending:
      return ResultCode::kSuccess;
    case TestAnswer::kFailed:
      stop_event(request);
      return code_of(failure());
    case TestAnswer::kDone:
      break;
  }
  request.active = false;
  bytes_ += bytes;
  if (unpack_.has_value()) unpack_->publish(request.number, bytes);
  stop_event(request);
  *done = 1;
  if (sizes != nullptr) *sizes = static_cast<int>(bytes);  // At most kOldLargestMessage.
  return ResultCode::kSuccess;
}

ResultCode Comm::consumed(const Request& request) {
  if (!unpack_.has_value() || unpack_->consume(request.number)) return ResultCode::kSuccess;
  SLUICE_LOG(kWarning, "nccl", "irecvConsumed of message {}, which is not the oldest that is done",
             request.number);
  return ResultCode::kInvalidUsage;
}

void Comm::withdraw(std::span<const std::byte> memory) {
  if (staged_.has_value()) staged_->wait_for_copies();
  channel_->withdraw(memory);
}

Status Comm::failure() const {
  return staged_.has_value() ? staged_->failure() : channel_->failure();
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
