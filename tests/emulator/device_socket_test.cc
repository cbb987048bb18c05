#include "tests/emulator/device_socket.h"

#include <gtest/gtest.h>
#include <linux/errqueue.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "tests/emulator/socket_pair.h"

namespace sluice::emulator {
namespace {

constexpr std::size_t kPluginControlBytes = 65536;

// A process's world with a pool in host memory, without the preloaded library.
struct World {
  explicit World(const Settings& settings) {
    world.settings = settings;
    const std::size_t bytes = settings.pool_pages * kPageBytes;
    const int fd = ::memfd_create("pool", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(bytes)), 0);
    std::string wrong;
    world.memory = make_host_memory(fd, bytes, &wrong);
    EXPECT_EQ(wrong, "");
    world.pages = PageTable::create(settings.pool_pages);
    world.kernel = {::sendmsg, ::recvmsg};
  }
  DeviceWorld world;
};

struct Arrived {
  ssize_t result = 0;
  int error = 0;
  std::vector<DeviceCmsgIn> fragments;
};

Arrived receive(DeviceSocket& socket, std::size_t bytes,
                std::size_t control_bytes = kPluginControlBytes) {
  std::vector<std::byte> place(bytes);
  std::vector<std::byte> control(control_bytes);
  iovec data{place.data(), place.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  Arrived arrived;
  errno = 0;
  arrived.result = socket.receive(message);
  arrived.error = errno;
  if (arrived.result <= 0) return arrived;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    EXPECT_EQ(header->cmsg_level, SOL_SOCKET);
    EXPECT_EQ(header->cmsg_type, 99);
    DeviceCmsgIn fragment{};
    std::memcpy(&fragment, CMSG_DATA(header), sizeof(fragment));
    arrived.fragments.push_back(fragment);
  }
  return arrived;
}

std::string text_in_pool(DeviceWorld& world, const std::vector<DeviceCmsgIn>& fragments) {
  std::string text;
  for (const DeviceCmsgIn& fragment : fragments) {
    text.append(reinterpret_cast<const char*>(world.memory->host_pool()) + fragment.offset,
                fragment.bytes);
  }
  return text;
}

void give_back(DeviceSocket& socket, const std::vector<DeviceCmsgIn>& fragments) {
  for (const DeviceCmsgIn& fragment : fragments) {
    const TokenRange range{fragment.token, 1};
    EXPECT_EQ(socket.dont_need(&range, sizeof(range)), 0);
  }
}

std::string long_text(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('!' + (i * 7 + i / 90) % 90);
  return text;
}

void send_plain(const SocketPair& pair, const std::string& text) {
  ASSERT_EQ(::send(pair.sender, text.data(), text.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(text.size()));
}

// Both ways of copying have to look alike from outside.
class DeviceSocketTest : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  [[nodiscard]] Settings settings(std::uint64_t pages) const {
    Settings all;
    all.pool_pages = pages;
    all.staged = GetParam();
    return all;
  }
  SocketPair pair_;
};

TEST_P(DeviceSocketTest, AnExhaustedPoolHoldsBytesBackUntilPagesReturn) {
  World here(settings(4));
  DeviceSocket socket(here.world, pair_.receiver);
  const std::string text = long_text(6 * kPageBytes);
  send_plain(pair_, text);
  std::string got;
  while (got.size() < 4 * kPageBytes) {
    pair_.wait_for_arrival();
    const Arrived some = receive(socket, 4 * kPageBytes - got.size());
    if (some.error == EAGAIN) break;  // Short segments have used the pages up.
    got += text_in_pool(here.world, some.fragments);
  }
  EXPECT_EQ(here.world.pages.counts().in_use, 4u);
  pair_.wait_for_arrival();
  EXPECT_EQ(receive(socket, text.size()).result, -1);
  EXPECT_EQ(receive(socket, text.size()).error, EAGAIN);
  const TokenRange all{0, 4};
  EXPECT_EQ(socket.dont_need(&all, sizeof(all)), 0);
  while (got.size() < text.size()) {
    pair_.wait_for_arrival();
    const Arrived more = receive(socket, text.size());
    ASSERT_GT(more.result, 0);
    got += text_in_pool(here.world, more.fragments);
    give_back(socket, more.fragments);
  }
  EXPECT_EQ(got, text);
  EXPECT_EQ(here.world.pages.counts().in_use, 0u);
  EXPECT_EQ(here.world.pages.counts().wrong_returns, 0u);
}

TEST_P(DeviceSocketTest, ControlRoomLimitsTheFragmentsNotTheTruth) {
  World here(settings(64));
  DeviceSocket socket(here.world, pair_.receiver);
  const std::string text = long_text(8 * kPageBytes);
  send_plain(pair_, text);
  std::string got;
  while (got.size() < text.size()) {
    pair_.wait_for_arrival();
    const Arrived some = receive(socket, text.size(), 2 * CMSG_SPACE(sizeof(DeviceCmsgIn)));
    ASSERT_GT(some.result, 0);
    ASSERT_LE(some.fragments.size(), 2u);
    const std::string part = text_in_pool(here.world, some.fragments);
    ASSERT_EQ(part.size(), static_cast<std::size_t>(some.result));
    got += part;
  }
  EXPECT_EQ(got, text);
  EXPECT_EQ(receive(socket, 1, CMSG_SPACE(1) - 1).error, EAGAIN);  // Nothing waits.
}

TEST_P(DeviceSocketTest, TheEndIsZeroAndNothingYetIsEagain) {
  World here(settings(4));
  DeviceSocket socket(here.world, pair_.receiver);
  EXPECT_EQ(receive(socket, 100).error, EAGAIN);
  send_plain(pair_, "x");
  pair_.close_sender();
  pair_.wait_for_arrival();
  EXPECT_EQ(receive(socket, 100).result, 1);
  pair_.wait_for_arrival();
  EXPECT_EQ(receive(socket, 100).result, 0);
}

TEST_P(DeviceSocketTest, RandomFragmentsLieInOnePageEachAndAddUp) {
  Settings knobs = settings(4096);
  knobs.random_fragments = 1;
  knobs.fragment_bytes = 300;
  World here(knobs);
  DeviceSocket socket(here.world, pair_.receiver);
  const std::string text = long_text(60'000);
  send_plain(pair_, text);
  std::string got;
  std::size_t unaligned = 0;
  while (got.size() < text.size()) {
    pair_.wait_for_arrival();
    const Arrived some = receive(socket, text.size());
    ASSERT_GT(some.result, 0);
    for (const DeviceCmsgIn& fragment : some.fragments) {
      EXPECT_EQ(fragment.offset / kPageBytes, fragment.token);
      EXPECT_EQ((fragment.offset + fragment.bytes - 1) / kPageBytes, fragment.token);
      EXPECT_LE(fragment.bytes, 300u);
      unaligned += fragment.offset % 16 != 0 ? 1 : 0;
    }
    got += text_in_pool(here.world, some.fragments);
  }
  EXPECT_EQ(got, text);
  EXPECT_GT(unaligned, 0u);
}

TEST_P(DeviceSocketTest, ASocketThatEndsFreesItsPagesAsLost) {
  World here(settings(8));
  {
    DeviceSocket socket(here.world, pair_.receiver);
    send_plain(pair_, "some bytes");
    pair_.wait_for_arrival();
    ASSERT_GT(receive(socket, 100).result, 0);
    EXPECT_EQ(here.world.pages.counts().in_use, 1u);
  }
  EXPECT_EQ(here.world.pages.counts().in_use, 0u);
  EXPECT_EQ(here.world.pages.counts().lost, 1u);
}

TEST_P(DeviceSocketTest, OnlyTheHolderGivesPagesBack) {
  World here(settings(8));
  DeviceSocket holder(here.world, pair_.receiver);
  DeviceSocket stranger(here.world, pair_.sender);
  send_plain(pair_, "some bytes");
  pair_.wait_for_arrival();
  const Arrived some = receive(holder, 100);
  ASSERT_EQ(some.fragments.size(), 1u);
  const TokenRange taken{some.fragments[0].token, 1};
  EXPECT_EQ(stranger.dont_need(&taken, sizeof(taken)), 0);
  const TokenRange outside{UINT32_MAX, UINT32_MAX};
  EXPECT_EQ(holder.dont_need(&outside, sizeof(outside)), 0);
  EXPECT_EQ(holder.dont_need(&taken, sizeof(taken) - 1), -1);
  EXPECT_EQ(here.world.pages.counts().in_use, 1u);
  EXPECT_EQ(here.world.pages.counts().returned, 0u);
  EXPECT_EQ(here.world.pages.counts().wrong_returns, 1ull + UINT32_MAX);
  give_back(holder, some.fragments);
  EXPECT_EQ(here.world.pages.counts().returned, 1u);
}

TEST_P(DeviceSocketTest, ReturnsFailAsOftenAsTheKnobSays) {
  Settings knobs = settings(8);
  knobs.dontneed_error_every = 1;
  World here(knobs);
  DeviceSocket socket(here.world, pair_.receiver);
  send_plain(pair_, "some bytes");
  pair_.wait_for_arrival();
  const Arrived some = receive(socket, 100);
  ASSERT_EQ(some.fragments.size(), 1u);
  const TokenRange range{some.fragments[0].token, 1};
  EXPECT_EQ(socket.dont_need(&range, sizeof(range)), -1);
  EXPECT_EQ(here.world.pages.counts().in_use, 1u);
}

TEST_P(DeviceSocketTest, AResetIsSeenAtBothEnds) {
  Settings knobs = settings(8);
  knobs.reset_after_bytes = 4;
  World here(knobs);
  DeviceSocket socket(here.world, pair_.receiver);
  send_plain(pair_, "four and more");
  pair_.wait_for_arrival();
  ASSERT_GE(receive(socket, 100).result, 4);
  EXPECT_EQ(receive(socket, 100).error, ECONNRESET);
  char byte = 0;
  EXPECT_EQ(::recv(pair_.sender, &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_P(DeviceSocketTest, HeldBackBytesAreNotThereYet) {
  Settings knobs = settings(8);
  knobs.arrival_delay_us = 3'600'000'000;
  World here(knobs);
  DeviceSocket socket(here.world, pair_.receiver);
  send_plain(pair_, "some bytes");
  pair_.wait_for_arrival();
  EXPECT_EQ(receive(socket, 100).error, EAGAIN);
  EXPECT_EQ(here.world.pages.counts().taken, 0u);
}

// One send from `memory`, which is registered.
struct Sending {
  explicit Sending(std::string text) : memory(std::move(text)) {
    fd = make_range_fd({reinterpret_cast<std::uint64_t>(memory.data()), memory.size()});
  }
  Sending(const Sending&) = delete;
  Sending& operator=(const Sending&) = delete;
  ~Sending() { ::close(fd); }

  ssize_t send(DeviceSocket& socket, std::int32_t offset, std::size_t bytes) const {
    char dummy = 0;  // Where the plugin points to is never read.
    iovec data{&dummy, bytes};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    errno = 0;
    return socket.send(message, {fd, offset}, MSG_ZEROCOPY | MSG_DONTWAIT);
  }

  std::string memory;
  int fd;
};

struct Completed {
  ssize_t result;
  sock_extended_err ids;
};

Completed read_completions(DeviceSocket& socket) {
  alignas(cmsghdr) char control[100] = {};  // As large as the plugin's.
  msghdr message{};
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  Completed completed{};
  completed.result = socket.read_completions(message);
  if (completed.result < 0) return completed;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  EXPECT_EQ(header->cmsg_level, SOL_IP);
  EXPECT_EQ(header->cmsg_type, IP_RECVERR);
  std::memcpy(&completed.ids, CMSG_DATA(header), sizeof(completed.ids));
  EXPECT_EQ(completed.ids.ee_errno, 0u);
  EXPECT_EQ(completed.ids.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
  return completed;
}

TEST_P(DeviceSocketTest, SendsComeFromTheRangeAndEachIsCompletedOnce) {
  World here(settings(8));
  DeviceSocket socket(here.world, pair_.sender);
  const Sending sending("0123456789abcdef");
  for (const std::int32_t offset : {3, 10, 0}) ASSERT_EQ(sending.send(socket, offset, 4), 4);
  char got[13] = {};
  ASSERT_EQ(::recv(pair_.receiver, got, 12, MSG_WAITALL), 12);
  EXPECT_STREQ(got, "3456abcd0123");
  std::uint32_t next = 0;
  while (next < 3) {
    const Completed some = read_completions(socket);
    if (some.result < 0) {
      ASSERT_EQ(errno, EAGAIN);
      ::sched_yield();
      continue;
    }
    EXPECT_EQ(some.ids.ee_info, next);
    next = some.ids.ee_data + 1;
  }
  EXPECT_EQ(next, 3u);
  EXPECT_EQ(read_completions(socket).result, -1);
}

TEST_P(DeviceSocketTest, SendsOutsideOfWhatIsRegisteredAreRefused) {
  World here(settings(8));
  DeviceSocket socket(here.world, pair_.sender);
  const Sending sending("0123456789abcdef");
  EXPECT_EQ(sending.send(socket, 13, 4), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(sending.send(socket, -1, 4), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(sending.send(socket, 17, 0), -1);
  EXPECT_EQ(errno, EFAULT);
  msghdr message{};
  EXPECT_EQ(socket.send(message, {pair_.receiver, 0}, 0), -1);
  EXPECT_EQ(errno, EBADF);
  pollfd polled{pair_.receiver, POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 0), 0);
}

TEST_P(DeviceSocketTest, HeldBackCompletionsAreNotThereYet) {
  Settings knobs = settings(8);
  knobs.completion_delay_us = 3'600'000'000;
  World here(knobs);
  DeviceSocket socket(here.world, pair_.sender);
  const Sending sending("0123");
  ASSERT_EQ(sending.send(socket, 0, 4), 4);
  char got[4];
  ASSERT_EQ(::recv(pair_.receiver, got, 4, MSG_WAITALL), 4);
  EXPECT_EQ(read_completions(socket).result, -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_P(DeviceSocketTest, WhatADeadPeerNeverReadIsCompletedAllTheSame) {
  World here(settings(8));
  DeviceSocket socket(here.world, pair_.sender);
  const Sending sending(long_text(4 << 20));
  std::uint32_t sends = 0;
  while (sending.send(socket, 0, sending.memory.size()) > 0)
    ++sends;  // Until all buffers are full.
  ASSERT_EQ(errno, EAGAIN);
  ::close(std::exchange(pair_.receiver, -1));  // Unread bytes: a reset goes out.
  std::uint32_t next = 0;
  while (next < sends) {
    const Completed some = read_completions(socket);
    if (some.result >= 0) next = some.ids.ee_data + 1;
    ::sched_yield();
  }
  EXPECT_EQ(next, sends);
}

INSTANTIATE_TEST_SUITE_P(Copying, DeviceSocketTest, ::testing::Values(0, 1),
                         [](const auto& test) { return test.param == 0 ? "Direct" : "Staged"; });

}  // namespace
}  // namespace sluice::emulator
