#include "tests/tcpx_standin/host_comm.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace sluice::standin {

HostComm::HostComm(Side side, Socket socket, const Knobs& knobs)
    : side_(side), knobs_(knobs), socket_(std::move(socket)) {
  Counters& counters = Owner::get().counters;
  ++(side == Side::kSend ? counters.open_send_comms : counters.open_recv_comms);
  for (HostRequest& request : ring_) request.comm = this;
  Owner::get().remember(this);
}

ResultCode HostComm::post(void* data, std::uint64_t bytes, void** request) {
  *request = nullptr;
  if (closed_) {
    violation(knobs_.strict, "a comm is used after its close");
    return ResultCode::kInvalidUsage;
  }
  if (failure_ != ResultCode::kSuccess) return failure_;
  Counters& counters = Owner::get().counters;
  const std::uint64_t nth_busy = knobs_.faults.at(Fault::kBusy);
  if (nth_busy > 0 && ++posts_ % nth_busy == 0) return ResultCode::kSuccess;
  HostRequest& place = at(posted_);
  if (place.state != HostRequest::State::kFree) {
    ++counters.posts_when_full;
    return ResultCode::kSuccess;
  }
  place.position = posted_;
  place.data = static_cast<std::byte*>(data);
  place.bytes = bytes;
  place.padding = side_ == Side::kSend && knobs_.faults.hits(Fault::kOversize, posted_) ? 64 : 0;
  place.late = knobs_.faults.at(Fault::kLate);
  place.state = HostRequest::State::kPosted;
  ++posted_;
  raise_to(side_ == Side::kSend ? counters.most_in_flight_send : counters.most_in_flight_receive,
           posted_ - done_);
  move();
  *request = &place;
  return ResultCode::kSuccess;
}

ResultCode HostComm::test(HostRequest& request, int* done, int* size) {
  *done = 0;
  if (closed_) {
    violation(knobs_.strict, "a comm is used after its close");
    return ResultCode::kInvalidUsage;
  }
  Counters& counters = Owner::get().counters;
  ++counters.tests;
  for (std::uint64_t left = knobs_.faults.at(Fault::kStorm); left > 0; --left) {
    SLUICE_STANDIN_LOG(kWarn, "a storm of warnings");
  }
  if (done_ >= knobs_.faults.at(Fault::kExit, ~0ull)) std::exit(1);
  if (done_ >= knobs_.faults.at(Fault::kError, ~0ull)) return ResultCode::kSystemError;
  if (request.state == HostRequest::State::kFree) {
    violation(knobs_.strict, "a test of a request that is done");
    return ResultCode::kInvalidUsage;
  }
  move();
  if (request.state == HostRequest::State::kPosted) return failure_;
  if (request.late > 0) {
    --request.late;
    return ResultCode::kSuccess;
  }
  request.state = HostRequest::State::kFree;
  ++done_;
  ++(side_ == Side::kSend ? counters.sends_done : counters.receives_done);
  if (size != nullptr) *size = static_cast<int>(request.bytes);
  *done = 1;
  return ResultCode::kSuccess;
}

void HostComm::move() {
  while (failure_ == ResultCode::kSuccess && moved_ < posted_ &&
         moved_ < knobs_.faults.at(Fault::kStall, ~0ull)) {
    HostRequest& request = at(moved_);
    const bool moved = side_ == Side::kSend ? send_next(request) : receive_next(request);
    if (!moved) return;
    request.state = HostRequest::State::kMoved;
    header_moved_ = 0;
    body_moved_ = 0;
    ++moved_;
  }
}

bool HostComm::send_next(HostRequest& request) {
  if (request.position >= knobs_.faults.at(Fault::kUnsent, ~0ull)) return true;
  header_ = {kMessageMagic, request.bytes + request.padding};
  const auto* header = reinterpret_cast<const std::byte*>(&header_);
  while (header_moved_ < sizeof(header_)) {
    const std::uint64_t sent = send_some(header + header_moved_, sizeof(header_) - header_moved_);
    if (sent == 0) return false;
    header_moved_ += sent;
  }
  static constexpr std::byte kZeros[64]{};
  while (body_moved_ < header_.bytes) {
    const bool ours = body_moved_ < request.bytes;
    const std::uint64_t sent =
        ours ? send_some(request.data + body_moved_, request.bytes - body_moved_)
             : send_some(kZeros, header_.bytes - body_moved_);
    if (sent == 0) return false;
    body_moved_ += sent;
  }
  return true;
}

bool HostComm::receive_next(HostRequest& request) {
  auto* header = reinterpret_cast<std::byte*>(&header_);
  while (header_moved_ < sizeof(header_)) {
    const std::uint64_t got = receive_some(header + header_moved_, sizeof(header_) - header_moved_);
    if (got == 0) return false;
    header_moved_ += got;
  }
  if (header_.magic != kMessageMagic || header_.bytes > request.bytes) {
    SLUICE_STANDIN_LOG(kWarn, "a message of %llu bytes meets a receive of %llu",
                       static_cast<unsigned long long>(header_.bytes),
                       static_cast<unsigned long long>(request.bytes));
    fail(ResultCode::kInvalidUsage);
    return false;
  }
  while (body_moved_ < header_.bytes) {
    const std::uint64_t got = receive_some(request.data + body_moved_, header_.bytes - body_moved_);
    if (got == 0) return false;
    body_moved_ += got;
  }
  request.bytes = header_.bytes;
  return true;
}

std::uint64_t HostComm::send_some(const void* from, std::uint64_t bytes) {
  const ssize_t sent = ::send(socket_.get(), from, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent > 0) return static_cast<std::uint64_t>(sent);
  if (errno != EAGAIN && errno != EINTR) fail(ResultCode::kRemoteError);
  return 0;
}

std::uint64_t HostComm::receive_some(void* into, std::uint64_t bytes) {
  const ssize_t received = ::recv(socket_.get(), into, bytes, MSG_DONTWAIT);
  if (received > 0) return static_cast<std::uint64_t>(received);
  if (received == 0 || (errno != EAGAIN && errno != EINTR)) fail(ResultCode::kRemoteError);
  return 0;
}

void HostComm::fail(ResultCode code) {
  failure_ = code;
  SLUICE_STANDIN_LOG(kWarn, "the connection failed");
}

ResultCode HostComm::close() {
  if (closed_) {
    violation(knobs_.strict, "a comm is closed twice");
    return ResultCode::kInvalidUsage;
  }
  closed_ = true;
  Counters& counters = Owner::get().counters;
  --(side_ == Side::kSend ? counters.open_send_comms : counters.open_recv_comms);
  socket_ = Socket();
  return ResultCode::kSuccess;
}

}  // namespace sluice::standin
