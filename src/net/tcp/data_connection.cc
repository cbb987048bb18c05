#include "src/net/tcp/data_connection.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "src/base/log.h"
#include "src/net/tcp/socket_options.h"

namespace sluice {

DataConnection::~DataConnection() {
  if (socket_.valid()) wake_.remove(socket_.get());
}

Status DataConnection::open_socket() {
  const std::string context = fmt::format("connecting to {}", plan_.remote.to_string());
  socket_ = Fd(::socket(plan_.remote.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_.valid()) return Status::from_errno(errno, context);
  if (Status status = set_no_delay(socket_.get()); !status.ok()) return status;
  auto system = prepare_congestion_control(socket_.get(), plan_.congestion_control);
  if (!system.ok()) return system.status();
  system_congestion_control_ = system.take();
  if (plan_.from.has_value()) {
    if (Status status = bind_source(socket_.get(), *plan_.from); !status.ok()) {
      return status.with_context(context);
    }
  }
  if (::connect(socket_.get(), plan_.remote.get(), plan_.remote.length()) != 0 &&
      errno != EINPROGRESS) {
    return Status::from_errno(errno, context);
  }
  wake_.add(socket_.get(), WakeSet::For::kWriting);
  return {};
}

MakeAnswer DataConnection::progress(Fd& socket, Status& failure) {
  MakeAnswer answer = failure_.ok() ? MakeAnswer::kMade : MakeAnswer::kFailed;
  if (answer == MakeAnswer::kMade && state_ == State::kConnecting) answer = finish_connect();
  if (answer == MakeAnswer::kMade) answer = say_hello();
  if (answer == MakeAnswer::kMade) {
    wake_.remove(socket_.get());
    failure_ = set_blocking(socket_.get(), true);
    if (failure_.ok()) {
      socket = std::move(socket_);
      return MakeAnswer::kMade;
    }
    answer = MakeAnswer::kFailed;
  }
  if (answer == MakeAnswer::kFailed) {
    failure = failure_;
    socket_.reset();
  }
  return answer;
}

MakeAnswer DataConnection::finish_connect() {
  pollfd wanted{socket_.get(), POLLOUT, 0};
  if (::poll(&wanted, 1, 0) <= 0) return MakeAnswer::kNotYet;
  int error = 0;
  socklen_t length = sizeof(error);
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  // A connection from a port to itself is what TCP makes of a port that nobody listens on when the
  // kernel picks that very port for our end.
  if (const auto local = local_address(socket_.get()); error == 0 && local.ok() &&
                                                       local->same_host(plan_.remote) &&
                                                       local->port() == plan_.remote.port()) {
    error = ECONNREFUSED;
  }
  if (error != 0) {
    failure_ = Status::from_errno(error, fmt::format("connecting to {}", plan_.remote.to_string()));
    return MakeAnswer::kFailed;
  }
  configure();
  state_ = State::kGreeting;
  return MakeAnswer::kMade;
}

void DataConnection::configure() {
  const Path path = path_of(socket_.get());
  const auto congestion = choose_congestion_control(socket_.get(), plan_.congestion_control,
                                                    system_congestion_control_, path);
  SLUICE_LOG(kInfo, "tcp", "channel to {}: rtt {} us, congestion control {}: {}",
             plan_.remote.to_string(), path.rtt_us, congestion.name, congestion.why);
}

MakeAnswer DataConnection::say_hello() {
  while (hello_bytes_ < hello_.size()) {
    const ssize_t sent = ::send(socket_.get(), hello_.data() + hello_bytes_,
                                hello_.size() - hello_bytes_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      hello_bytes_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      return MakeAnswer::kNotYet;
    } else if (errno != EINTR) {
      failure_ = Status::from_errno(errno, fmt::format("hello to {}", plan_.remote.to_string()));
      return MakeAnswer::kFailed;
    }
  }
  return MakeAnswer::kMade;
}

}  // namespace sluice
