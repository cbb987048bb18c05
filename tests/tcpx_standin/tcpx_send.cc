#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "tests/tcpx_standin/tcpx_comm.h"

namespace sluice::standin {

void TcpxSend::connected(Connection::Sockets sockets) {
  control_ = std::move(sockets.control);
  for (Socket& socket : sockets.data) {
    sockets_.push_back(std::make_unique<SendSocket>(std::move(socket), knobs_.faults));
  }
}

void TcpxSend::retire_tasks() {
  for (const auto& socket : sockets_) {
    while (const Task* task = socket->finished()) {
      at(task->request).pending -= task->bytes + task->padding;
      socket->retire();
    }
  }
}

// In one test() each socket gets one chunk at most.
bool TcpxSend::advance(Request& request, ResultCode& result) {
  result = flush();
  if (result != ResultCode::kSuccess || !unsent_.empty()) return false;
  const std::uint32_t total = request.bytes + request.padding;
  if (request.position >= knobs_.faults.at(Fault::kUnsent, ~0ull)) return true;
  if (total == 0) {
    result = announce({1, 0, 0, 0, 0});
    return result == ResultCode::kSuccess;
  }
  if (knobs_.chunk_bytes == 0) return false;  // And never will it move.
  for (std::size_t tries = 0; tries < sockets_.size() && request.handed < total; ++tries) {
    const std::size_t index = next_socket_++ % sockets_.size();
    if (!sockets_[index]->has_room()) continue;
    const auto chunk = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(knobs_.chunk_bytes, total - request.handed));
    // The padding rides behind the last byte of the request, whichever chunk that is in.
    const std::uint32_t ours =
        request.handed < request.bytes ? std::min(chunk, request.bytes - request.handed) : 0;
    result = announce({0, static_cast<std::uint16_t>(index), chunk, request.handed, total});
    if (result != ResultCode::kSuccess) return false;
    Task task;
    task.request = request.position;
    task.at = request.data + request.handed;
    task.bytes = ours;
    task.padding = chunk - ours;
    request.handed += chunk;
    request.pending += chunk;
    sockets_[index]->enqueue(std::move(task));
  }
  return request.handed == total;
}

ResultCode TcpxSend::announce(const ControlMessage& message) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&message);
  unsent_.insert(unsent_.end(), bytes, bytes + sizeof(message));
  return flush();
}

// Without MSG_NOSIGNAL: SIGPIPE is one of the behaviours.
ResultCode TcpxSend::flush() {
  while (!unsent_.empty()) {
    const ssize_t sent = ::send(control(), unsent_.data(), unsent_.size(), MSG_DONTWAIT);
    if (sent > 0) {
      unsent_.erase(unsent_.begin(), unsent_.begin() + sent);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      SLUICE_STANDIN_LOG(kWarn, "control send failed with errno %d", errno);
      return ResultCode::kSystemError;
    }
  }
  return ResultCode::kSuccess;
}

void TcpxSend::finish(Request&) {}

void TcpxSend::release() { sockets_.clear(); }

ResultCode TcpxSend::consumed(int, Request&) {
  SLUICE_STANDIN_LOG(kWarn, "irecvConsumed of a send request");
  violation(knobs_.strict, "irecvConsumed of a send request");
  return ResultCode::kSuccess;
}

}  // namespace sluice::standin
