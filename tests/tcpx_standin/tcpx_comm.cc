#include "tests/tcpx_standin/tcpx_comm.h"

#include <cstdlib>

namespace sluice::standin {

TcpxComm::TcpxComm(Side side, std::shared_ptr<Connection> connection, const Knobs& knobs)
    : knobs_(knobs), side_(side), connection_(std::move(connection)) {
  Counters& counters = Owner::get().counters;
  ++(side == Side::kSend ? counters.open_send_comms : counters.open_recv_comms);
  for (Request& request : ring_) request.comm = this;
  Owner::get().remember(this);
}

TcpxComm::Entry::Entry(TcpxComm& comm) : comm_(comm) {
  if (comm.entered_.exchange(true)) violation(comm.knobs_.strict, "two threads in one comm");
  if (comm.closed_) violation(comm.knobs_.strict, "a comm is used after its close");
}

TcpxComm::Ready TcpxComm::ready() {
  if (connection_ == nullptr) return Ready::kYes;
  switch (connection_->state()) {
    case Connection::State::kMaking:
      return Ready::kNotYet;
    case Connection::State::kFailed:
      return Ready::kFailed;
    case Connection::State::kMade:
      connected(connection_->take());
      connection_.reset();
      return Ready::kYes;
  }
  return Ready::kFailed;
}

ResultCode TcpxComm::post(void* data, int bytes, void* registration, void** request) {
  const Entry entry(*this);
  if (closed_ || registration == nullptr || bytes < 0) return ResultCode::kInternalError;
  const Ready connection = ready();
  if (connection == Ready::kFailed) return ResultCode::kInternalError;
  const std::uint64_t nth_busy = knobs_.faults.at(Fault::kBusy);
  if (connection == Ready::kNotYet || (nth_busy > 0 && ++posts_ % nth_busy == 0)) {
    *request = nullptr;
    return ResultCode::kSuccess;
  }
  Counters& counters = Owner::get().counters;
  if (posted_ - freed_ == kRequests) {
    ++counters.posts_when_full;
    SLUICE_STANDIN_LOG(kWarn, "unable to allocate requests");
    violation(knobs_.strict, "more than 16 requests posted");
    return ResultCode::kInternalError;
  }
  const auto& memory = *static_cast<const Registration*>(registration);
  auto* const bytes_at = static_cast<std::byte*>(data);
  if (side_ == Side::kSend && bytes > 0 &&
      (bytes_at < memory.data || bytes_at + bytes > memory.data + memory.bytes)) {
    violation(knobs_.strict, "a send from outside its registration");
    return ResultCode::kInternalError;
  }
  Request& place = at(posted_);
  place = Request{};
  place.comm = this;
  place.position = posted_;
  place.data = bytes_at;
  place.bytes = static_cast<std::uint32_t>(bytes);
  place.type = memory.type;
  place.late = knobs_.faults.at(Fault::kLate);
  if (side_ == Side::kSend && knobs_.faults.hits(Fault::kOversize, posted_)) place.padding = 64;
  ++posted_;
  raise_to(side_ == Side::kSend ? counters.most_in_flight_send : counters.most_in_flight_receive,
           posted_ - freed_);
  *request = &place;
  return ResultCode::kSuccess;
}

ResultCode TcpxComm::progress() {
  switch (ready()) {
    case Ready::kNotYet:
      return ResultCode::kSuccess;
    case Ready::kFailed:
      return ResultCode::kInternalError;
    case Ready::kYes:
      break;
  }
  retire_tasks();
  if (activated_ < posted_) ++activated_;
  ResultCode result = ResultCode::kSuccess;
  if (handed_ < activated_ && advance(at(handed_), result)) ++handed_;
  return result;
}

ResultCode TcpxComm::test(Request& request, int* done) {
  const Entry entry(*this);
  *done = 0;
  if (closed_) return ResultCode::kInternalError;
  Counters& counters = Owner::get().counters;
  ++counters.tests;
  const bool oldest = finished_ < posted_ && &at(finished_) == &request;
  if (!oldest) {
    ++counters.tests_not_oldest;
    violation(knobs_.strict, "a test of what is not the oldest request");
  }
  complain_at_every_test();
  if (finished_ >= knobs_.faults.at(Fault::kExit, ~0ull)) std::exit(1);
  if (finished_ >= knobs_.faults.at(Fault::kError, ~0ull)) return ResultCode::kSystemError;
  // An error here hides what is complete.
  if (const ResultCode result = progress(); result != ResultCode::kSuccess) return result;
  if (finished_ == handed_) return ResultCode::kSuccess;
  if (!oldest) {
    SLUICE_STANDIN_LOG(kWarn, "test of a request that is not the next one");
    return ResultCode::kInternalError;
  }
  if (request.pending > 0) return ResultCode::kSuccess;
  if (request.late > 0) {
    --request.late;
    return ResultCode::kSuccess;
  }
  finish(request);
  ++finished_;
  if (side_ == Side::kSend) ++freed_;
  ++(side_ == Side::kSend ? counters.sends_done : counters.receives_done);
  *done = 1;
  return ResultCode::kSuccess;
}

void TcpxComm::complain_at_every_test() const {
  for (std::uint64_t left = knobs_.faults.at(Fault::kStorm); left > 0; --left) {
    SLUICE_STANDIN_LOG(kWarn, "No free space for recv task, %llu requests finished",
                       static_cast<unsigned long long>(finished_));
  }
}

ResultCode TcpxComm::close() {
  const Entry entry(*this);
  if (closed_) crash("a comm is closed twice");
  closed_ = true;
  Counters& counters = Owner::get().counters;
  --(side_ == Side::kSend ? counters.open_send_comms : counters.open_recv_comms);
  release();
  control_ = Socket();
  connection_.reset();
  return ResultCode::kSuccess;
}

}  // namespace sluice::standin
