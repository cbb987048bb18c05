// What a TcpNet's wake_fd() is: an epoll set of the doorbell and of every socket that accept() and
// connect() are waiting for, so that a sleeping engine notices those too.
#pragma once

#include <cstdint>

#include "sluice/status.h"
#include "src/base/fd.h"

namespace sluice {

class WakeSet {
 public:
  static Result<WakeSet> create();
  [[nodiscard]] int fd() const { return epoll_.get(); }

  enum class For : std::uint8_t { kReading, kWriting };
  // A closed socket leaves by itself. Failing to add costs a wake-up, never correctness: who asks
  // for progress in a later pass finds the same.
  void add(int fd, For what) const;
  void remove(int fd) const;

 private:
  explicit WakeSet(Fd epoll) : epoll_(std::move(epoll)) {}
  Fd epoll_;
};

}  // namespace sluice
