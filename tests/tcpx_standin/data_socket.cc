#include "tests/tcpx_standin/data_socket.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "tests/tcpx_standin/owner.h"

namespace sluice::standin {

DataSocket::DataSocket(Socket socket, const Faults& faults)
    : faults_(faults),
      socket_(std::move(socket)),
      stopper_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void DataSocket::enqueue(Task task) {
  ring_[posted_ % kTasks] = std::move(task);
  ++posted_;
  const std::lock_guard lock(mutex_);
  wanted_ = posted_;
  // Only now, so that the helper has the signal mask of whoever drives the comm.
  if (!helper_.joinable()) helper_ = std::thread([this] { run(); });
  work_.notify_one();
}

Task* DataSocket::finished() {
  if (retired_ == moved_.load(std::memory_order_acquire)) return nullptr;
  Task& task = ring_[retired_ % kTasks];
  return settled(task) ? &task : nullptr;
}

void DataSocket::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_one();
  }
  ::eventfd_write(stopper_.get(), 1);
  if (helper_.joinable()) helper_.join();
}

bool DataSocket::wait(short events, int timeout_ms) const {
  pollfd entries[2] = {{stopper_.get(), POLLIN, 0}, {socket_.get(), events, 0}};
  ::poll(entries, events == 0 ? 1 : 2, timeout_ms);
  return entries[0].revents == 0;
}

void DataSocket::run() {
  for (;;) {
    const std::uint64_t next = moved_.load(std::memory_order_relaxed);
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] {
        return stopping_ || (next < wanted_ && next < faults_.at(Fault::kStall, ~0ull));
      });
      if (stopping_) return;
    }
    if (!move(ring_[next % kTasks])) return;
    moved_.store(next + 1, std::memory_order_release);
  }
}

bool SendSocket::move(Task& task) {
  if (!send_part(task.at, task.bytes)) return false;
  const std::vector<std::byte> zeros(task.padding);
  if (!send_part(zeros.data(), zeros.size())) return false;
  task.end = handed_;
  return true;
}

// Without MSG_NOSIGNAL: SIGPIPE is one of the behaviours.
bool SendSocket::send_part(const std::byte* from, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = ::send(fd(), from, bytes, MSG_DONTWAIT);
    if (sent > 0) {
      handed_ += static_cast<std::uint64_t>(sent);
      from += sent;
      bytes -= static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      if (!wait(POLLOUT, -1)) return false;
    } else if (errno != EINTR) {
      SLUICE_STANDIN_LOG(kWarn, "send failed with errno %d, helper ends", errno);
      return false;
    }
  }
  return true;
}

// A send is finished when the peer's kernel has acknowledged all of it, or when the connection is
// torn down and ours has thrown it away: nobody can tell the two apart.
bool SendSocket::settled(const Task& task) {
  const std::uint64_t handed = handed_;  // Read first: what is handed over later cannot confuse.
  int waiting = 0;
  if (::ioctl(fd(), SIOCOUTQ, &waiting) != 0) return true;
  const auto unacknowledged = static_cast<std::uint64_t>(std::max(waiting, 0));
  if (unacknowledged == 0 || handed >= task.end + unacknowledged) return true;
  pollfd entry{fd(), 0, 0};
  return ::poll(&entry, 1, 0) == 1 && (entry.revents & (POLLERR | POLLHUP)) != 0;
}

void RecvSocket::enqueue(Task task) {
  {
    const std::lock_guard lock(mutex_);
    for (const std::uint32_t page : pages_[task.slot]) pool_.lose(page);
    pages_[task.slot].clear();
  }
  DataSocket::enqueue(std::move(task));
}

std::vector<std::uint32_t> RecvSocket::take_pages(std::uint32_t slot) {
  const std::lock_guard lock(mutex_);
  return std::exchange(pages_[slot], {});
}

bool RecvSocket::move(Task& task) {
  if (task.at != nullptr) return receive_into(task.at, task.bytes);
  for (std::uint32_t moved = 0; moved < task.bytes;) {
    const Shape shape = next_shape(task.bytes - moved);
    if (!wait(POLLIN, -1)) return false;
    std::uint32_t page = 0;
    if (!take_page(page)) return false;
    const std::uint32_t source = page * BouncePool::kPageBytes + shape.start;
    if (!receive_into(pool_.base() + source, shape.length)) return false;
    task.fragments.push_back({source, shape.length, std::uint64_t{task.offset} + moved});
    moved += shape.length;
    const std::lock_guard lock(mutex_);
    pages_[task.slot].push_back(page);
  }
  return true;
}

bool RecvSocket::receive_into(std::byte* into, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t received = ::recv(fd(), into, bytes, MSG_DONTWAIT);
    if (received > 0) {
      into += received;
      bytes -= static_cast<std::size_t>(received);
    } else if (received < 0 && errno == EAGAIN) {
      if (!wait(POLLIN, -1)) return false;
    } else if (received == 0 || errno != EINTR) {
      SLUICE_STANDIN_LOG(kWarn, "receive ended with errno %d, helper ends", errno);
      return false;
    }
  }
  return true;
}

// Waits while the pool is empty: that is the back-pressure, there is no other.
bool RecvSocket::take_page(std::uint32_t& page) {
  for (;;) {
    if (const auto taken = pool_.take(owner_)) {
      page = *taken;
      return true;
    }
    if (!wait(0, 1)) return false;
  }
}

RecvSocket::Shape RecvSocket::next_shape(std::uint32_t remaining) {
  constexpr std::uint32_t kPage = BouncePool::kPageBytes;
  if (faults_.on(Fault::kAligned)) return {0, std::min(kPage, remaining)};
  if (faults_.on(Fault::kTiny)) {
    const auto most =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(faults_.at(Fault::kTiny), 1, kPage));
    const std::uint32_t length = most - random((most + 1) / 2);
    return {random(kPage - length + 1), std::min(length, remaining)};
  }
  if (faults_.on(Fault::kUnaligned)) {
    const std::uint32_t start = 2 * random(16) + 1;
    return {start, std::min(kPage - start, remaining)};
  }
  // Mostly whole pages, and some that begin and end anywhere.
  if (random(4) != 0) return {0, std::min(kPage, remaining)};
  const std::uint32_t start = random(kPage - 256);
  return {start, std::min(1 + random(kPage - start), remaining)};
}

// Knuth's MMIX generator: the same bytes are cut in the same way every time.
std::uint32_t RecvSocket::random(std::uint32_t below) {
  seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
  return static_cast<std::uint32_t>((seed_ >> 33) % below);
}

}  // namespace sluice::standin
