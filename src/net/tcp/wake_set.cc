#include "src/net/tcp/wake_set.h"

#include <sys/epoll.h>

#include <cerrno>

namespace sluice {

Result<WakeSet> WakeSet::create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Status::from_errno(errno, "epoll_create1");
  return WakeSet(std::move(epoll));
}

void WakeSet::add(int fd, For what) const {
  epoll_event event{};
  event.events = what == For::kReading ? EPOLLIN : EPOLLOUT;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void WakeSet::remove(int fd) const {
  epoll_event event{};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &event);
}

}  // namespace sluice
