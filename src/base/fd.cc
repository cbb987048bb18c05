#include "src/base/fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace sluice {

void Fd::reset() {
  if (fd_ < 0) return;
  // A guard may close while its caller still has to read the errno of what went wrong. close() is
  // not tried again on EINTR: Linux has released the number by then.
  const int saved = errno;
  ::close(std::exchange(fd_, -1));
  errno = saved;
}

Result<EventFd> EventFd::create() {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.valid()) return Status::from_errno(errno, "eventfd");
  return EventFd(std::move(fd));
}

// Both ignore the result: EAGAIN says that the bell rings (or is silent) already, and nothing else
// can happen to an eventfd that we own.
void EventFd::ring() const {
  const int saved = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t count = ::write(fd_.get(), &one, sizeof(one));
  errno = saved;
}

void EventFd::clear() const {
  const int saved = errno;
  std::uint64_t rings = 0;
  [[maybe_unused]] const ssize_t count = ::read(fd_.get(), &rings, sizeof(rings));
  errno = saved;
}

}  // namespace sluice
