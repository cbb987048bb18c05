#include "tests/tcpx_standin/connection.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <thread>

namespace sluice::standin {
namespace {

constexpr std::int32_t kOk = 0;  // ConnectionState on the wire
constexpr std::int32_t kFailed = 2;
constexpr unsigned kTries = 3;  // NCCL_GPUDIRECTTCPX_CONNECTION_RETRY

void pause_ms(std::uint32_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

sockaddr_in address_in(const std::array<std::byte, 28>& bytes) {
  sockaddr_in address{};
  std::memcpy(&address, bytes.data(), sizeof(address));
  return address;
}

// The ends of one connection. Each socket: a step of waiting, a TCP connection, four bytes of state
// from the acceptor and four back, four bytes with the socket's index; all of these on the control
// socket once there is one.
struct End {
  Connection::Sockets sockets;
  std::uint32_t step_ms;

  bool ready(std::uint32_t index, Socket socket) {
    if (index == sockets.data.size()) {
      sockets.control = std::move(socket);
    } else {
      sockets.data[index] = std::move(socket);
    }
    return true;
  }
  [[nodiscard]] int talk(const Socket& fresh) const {
    return sockets.control.valid() ? sockets.control.get() : fresh.get();
  }
};

bool accept_one(End& end, const Connection::Ports& ports, std::uint32_t expected) {
  const bool control = expected == end.sockets.data.size();
  for (unsigned tries = 0; tries < kTries; ++tries) {
    pause_ms(end.step_ms);
    Socket socket(::accept4(control ? ports.control.get() : ports.data.get(), nullptr, nullptr,
                            SOCK_CLOEXEC));
    if (!socket.valid()) return false;
    const int one = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const std::int32_t ours = kOk;
    std::int32_t theirs = kFailed;
    std::uint32_t index = 0;
    const int talk = end.talk(socket);
    if (!send_all(talk, &ours, sizeof(ours)) || !receive_all(talk, &theirs, sizeof(theirs)) ||
        theirs != kOk || !receive_all(talk, &index, sizeof(index))) {
      continue;
    }
    // TCPX believes the index; here a wrong one is a failed connection.
    if (index != expected) return false;
    return end.ready(index, std::move(socket));
  }
  return false;
}

bool connect_one(End& end, const sockaddr_in& to, std::uint32_t index, std::uint32_t tries) {
  for (unsigned again = 0; again < kTries; ++again) {
    pause_ms(end.step_ms);
    Socket socket = connect_to(to, tries);
    if (!socket.valid()) return false;
    std::int32_t theirs = kFailed;
    const std::int32_t ours = kOk;
    const int talk = end.talk(socket);
    if (!receive_all(talk, &theirs, sizeof(theirs)) || !send_all(talk, &ours, sizeof(ours)) ||
        theirs != kOk || !send_all(talk, &index, sizeof(index))) {
      continue;
    }
    return end.ready(index, std::move(socket));
  }
  return false;
}

// From now on polled and never waited in.
void unblock(Connection::Sockets& sockets) {
  ::fcntl(sockets.control.get(), F_SETFL, O_NONBLOCK);
  for (const Socket& socket : sockets.data) ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
}

}  // namespace

std::shared_ptr<Connection> Connection::start(Making making) {
  auto connection = std::make_shared<Connection>();
  std::thread([connection, making = std::move(making)] {
    std::optional<Sockets> sockets = making();
    const std::lock_guard lock(connection->mutex_);
    connection->state_ = sockets ? State::kMade : State::kFailed;
    if (!sockets) return;
    unblock(*sockets);
    connection->sockets_ = std::move(*sockets);
  }).detach();
  return connection;
}

std::shared_ptr<Connection> Connection::accept(std::shared_ptr<const Ports> ports,
                                               const Knobs& knobs) {
  return start([ports, step_ms = knobs.step_ms, wait_ms = knobs.accept_wait_ms,
                fails = knobs.faults.on(Fault::kAcceptFails)]() -> std::optional<Sockets> {
    End end{{}, step_ms};
    end.sockets.data.resize(ports->sockets);
    for (std::uint32_t left = ports->sockets + 1; left > 0; --left) {
      if (!accept_one(end, *ports, left - 1)) return {};
    }
    pause_ms(wait_ms);  // Programming the flow steering.
    if (fails) return {};
    return std::move(end.sockets);
  });
}

std::shared_ptr<Connection> Connection::connect(const Handle& handle, const Knobs& knobs) {
  return start([handle, step_ms = knobs.step_ms, tries = knobs.connect_tries,
                fails = knobs.faults.on(Fault::kConnectFails)]() -> std::optional<Sockets> {
    End end{{}, step_ms};
    if (handle.sockets < 1 || handle.sockets > 8 || fails) return {};
    const auto count = static_cast<std::uint32_t>(handle.sockets);
    end.sockets.data.resize(count);
    if (!connect_one(end, address_in(handle.control_address), count, tries)) return {};
    for (std::uint32_t left = count; left > 0; --left) {
      if (!connect_one(end, address_in(handle.data_address), left - 1, tries)) return {};
    }
    return std::move(end.sockets);
  });
}

Connection::State Connection::state() {
  const std::lock_guard lock(mutex_);
  return state_;
}

Connection::Sockets Connection::take() {
  const std::lock_guard lock(mutex_);
  return std::move(sockets_);
}

}  // namespace sluice::standin
