// Two ends of a TCP connection over loopback, for the tests here.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::emulator {

struct SocketPair {
  SocketPair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof(address);
    EXPECT_EQ(::bind(listener, generic, length), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    EXPECT_EQ(::getsockname(listener, generic, &length), 0);
    sender = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(sender, generic, length), 0);
    receiver = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    ::close(listener);
    const int on = 1;
    EXPECT_EQ(::setsockopt(sender, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)), 0);
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  ~SocketPair() {
    close_sender();
    if (receiver >= 0) ::close(receiver);
  }
  void close_sender() {
    if (sender >= 0) ::close(sender);
    sender = -1;
  }
  // Waits until bytes, or the end, have arrived.
  void wait_for_arrival() const {
    pollfd polled{receiver, POLLIN, 0};
    ASSERT_EQ(::poll(&polled, 1, -1), 1);
  }

  int sender = -1;
  int receiver = -1;
};

}  // namespace sluice::emulator
