#include "src/net/tcp/tcp_connector.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "src/base/log.h"
#include "src/net/tcp/reference_stream.h"
#include "src/net/tcp/socket_options.h"

namespace sluice {

Result<std::unique_ptr<Connector>> TcpConnector::create(TcpNet& net,
                                                        std::span<const std::byte> handle) {
  Result<DataHandle> decoded = decode_handle(handle);
  if (!decoded.ok()) return decoded.status();
  std::unique_ptr<TcpConnector> connector(new TcpConnector(net, *decoded));
  connector->failure_ = connector->open();
  return std::unique_ptr<Connector>(std::move(connector));
}

TcpConnector::~TcpConnector() {
  if (socket_.valid()) net_.wake_.remove(socket_.get());
}

Status TcpConnector::open() {
  const std::string context = fmt::format("connecting to {}", remote_.to_string());
  socket_ = Fd(::socket(remote_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_.valid()) return Status::from_errno(errno, context);
  if (Status status = set_no_delay(socket_.get()); !status.ok()) return status;
  auto system = prepare_congestion_control(socket_.get(), net_.options_.congestion_control);
  if (!system.ok()) return system.status();
  system_congestion_control_ = system.take();
  if (net_.bound_ &&
      ::bind(socket_.get(), net_.bind_address_.get(), net_.bind_address_.length()) != 0) {
    return Status::from_errno(errno, context + " from " + net_.bind_address_.host());
  }
  if (::connect(socket_.get(), remote_.get(), remote_.length()) != 0 && errno != EINPROGRESS) {
    return Status::from_errno(errno, context);
  }
  net_.wake_.add(socket_.get(), WakeSet::For::kWriting);
  return {};
}

MakeAnswer TcpConnector::connect(std::unique_ptr<SendChannel>& channel, Status& failure) {
  MakeAnswer answer = failure_.ok() ? MakeAnswer::kMade : MakeAnswer::kFailed;
  if (answer == MakeAnswer::kMade && state_ == State::kConnecting) answer = finish_connect();
  if (answer == MakeAnswer::kMade) answer = say_hello();
  if (answer == MakeAnswer::kMade) {
    net_.wake_.remove(socket_.get());
    failure_ = make_channel(channel);
    if (failure_.ok()) return MakeAnswer::kMade;
    answer = MakeAnswer::kFailed;
  }
  if (answer == MakeAnswer::kFailed) {
    failure = failure_;
    socket_.reset();
  }
  return answer;
}

Status TcpConnector::make_channel(std::unique_ptr<SendChannel>& channel) {
  if (Status status = set_blocking(socket_.get(), true); !status.ok()) return status;
  std::unique_ptr<ChunkStream> stream;
  if (by_reference_) {
    auto made = ReferenceStream::create(std::move(socket_), net_.wake_);
    if (!made.ok()) return made.status();
    stream = made.take();
  } else {
    stream = std::make_unique<SendStream>(std::move(socket_));
  }
  auto made = TcpSendChannel::create(net_.channels_, std::move(stream), remote_);
  if (made.ok()) channel = made.take();
  return made.status();
}

MakeAnswer TcpConnector::finish_connect() {
  pollfd wanted{socket_.get(), POLLOUT, 0};
  if (::poll(&wanted, 1, 0) <= 0) return MakeAnswer::kNotYet;
  int error = 0;
  socklen_t length = sizeof(error);
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  // A connection from a port to itself is what TCP makes of a port that nobody listens on when the
  // kernel picks that very port for our end.
  if (const auto local = local_address(socket_.get());
      error == 0 && local.ok() && local->same_host(remote_) && local->port() == remote_.port()) {
    error = ECONNREFUSED;
  }
  if (error != 0) {
    failure_ = Status::from_errno(error, fmt::format("connecting to {}", remote_.to_string()));
    return MakeAnswer::kFailed;
  }
  configure();
  state_ = State::kGreeting;
  return MakeAnswer::kMade;
}

void TcpConnector::configure() {
  const Path path = path_of(socket_.get());
  const auto congestion = choose_congestion_control(socket_.get(), net_.options_.congestion_control,
                                                    system_congestion_control_, path);
  SLUICE_LOG(kInfo, "tcp", "channel to {}: rtt {} us, congestion control {}: {}",
             remote_.to_string(), path.rtt_us, congestion.name, congestion.why);
}

MakeAnswer TcpConnector::say_hello() {
  while (hello_bytes_ < hello_.size()) {
    const ssize_t sent = ::send(socket_.get(), hello_.data() + hello_bytes_,
                                hello_.size() - hello_bytes_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      hello_bytes_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      return MakeAnswer::kNotYet;
    } else if (errno != EINTR) {
      failure_ = Status::from_errno(errno, fmt::format("hello to {}", remote_.to_string()));
      return MakeAnswer::kFailed;
    }
  }
  return MakeAnswer::kMade;
}

}  // namespace sluice
