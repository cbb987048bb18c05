// What the tests of this folder share.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/fd.h"
#include "src/base/log.h"
#include "tests/support/bytes.h"

namespace sluice::testing {

// Calls `done` until it says true. False after 100 s: a test fails instead of hanging.
template <typename Done>
bool eventually(Done done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(100);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

inline bool readable(int fd, int timeout_ms) {
  pollfd wanted{fd, POLLIN, 0};
  return ::poll(&wanted, 1, timeout_ms) == 1;
}

// Two connected TCP sockets, blocking.
inline std::pair<Fd, Fd> tcp_pair() {
  Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(listening.get(), any, length), 0);
  EXPECT_EQ(::listen(listening.get(), 1), 0);
  EXPECT_EQ(::getsockname(listening.get(), any, &length), 0);
  Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(client.get(), any, length), 0);
  Fd server(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(server.valid());
  return {std::move(client), std::move(server)};
}

// Two connected sockets with small buffers, so that a sender blocks soon.
inline std::pair<Fd, Fd> small_pair() {
  std::array<int, 2> fds{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

inline std::size_t entries_of(const char* directory) {
  DIR* dir = ::opendir(directory);
  std::size_t count = 0;
  while (::readdir(dir) != nullptr) ++count;
  ::closedir(dir);
  return count;
}
inline std::size_t open_descriptors() { return entries_of("/proc/self/fd"); }
inline std::size_t live_threads() { return entries_of("/proc/self/task"); }

// Catches what is logged while it lives, at kInfo and above. One at a time.
class LogCatcher {
 public:
  LogCatcher() {
    lines().clear();
    set_log_level(LogLevel::kInfo);
    set_log_sink([](LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex());
      lines().emplace_back(line);
    });
  }
  ~LogCatcher() {
    set_log_sink(nullptr);
    set_log_level(LogLevel::kWarning);
  }
  LogCatcher(const LogCatcher&) = delete;
  LogCatcher& operator=(const LogCatcher&) = delete;

  // How many lines have this text in them.
  [[nodiscard]] std::size_t count(std::string_view text) const {
    const std::lock_guard lock(mutex());
    std::size_t found = 0;
    for (const std::string& line : lines()) found += line.find(text) != std::string::npos;
    return found;
  }

 private:
  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
  static std::vector<std::string>& lines() {
    static std::vector<std::string> instance;
    return instance;
  }
};

}  // namespace sluice::testing
