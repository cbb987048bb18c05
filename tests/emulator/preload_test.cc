// Plays the TCPX plugin's kernel and CUDA calls, through libc as the plugin makes them, to see what
// the preloaded library makes of them. Run by the launcher, with the host's memory.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulator/device_buffer.h"
#include "tests/emulator/device_socket.h"
#include "tests/emulator/rxdm_client.h"
#include "tests/emulator/settings.h"
#include "tests/emulator/socket_pair.h"

namespace sluice::emulator {
namespace {

constexpr unsigned long kCreatePages = 0x40206202;

struct CreatePages {
  std::uint64_t nic[3];
  std::int32_t dma_buf_fd;
  std::int32_t create_page_pool;
};

// What the launcher says about itself, the table that it shares among others.
PageTable shared_pages() {
  std::string wrong;
  const int fd = ask_for_fd(environment_of(kFolderVariable) + "/emulator_pages",
                            environment_of(kGpuVariable), &wrong);
  EXPECT_EQ(wrong, "");
  return PageTable::open(fd);
}

// A function of the stub driver, as the plugin's linker finds it.
template <typename... Arguments>
int cuda(const char* name, Arguments... arguments) {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << ::dlerror();
  auto* function = reinterpret_cast<int (*)(Arguments...)>(::dlsym(library, name));
  EXPECT_NE(function, nullptr) << name;
  return function == nullptr ? -1 : function(arguments...);
}

// The pages descriptor of registered memory: -1 if one of its two steps fails.
int register_memory(std::span<std::byte> memory) {
  int dma_buf = -1;
  if (cuda("cuMemGetHandleForAddressRange", static_cast<void*>(&dma_buf),
           reinterpret_cast<std::uint64_t>(memory.data()), memory.size(), 1, 0ull) != 0) {
    return -1;
  }
  CreatePages request{{0x11, 0, 0}, dma_buf, 0};
  const int pages = ::ioctl(dma_buf, kCreatePages, &request);
  ::close(dma_buf);
  return pages;
}

ssize_t send_from(int socket, int pages, int offset, std::size_t bytes) {
  char dummy = 0;
  iovec data{&dummy, bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = 99;
  header->cmsg_len = CMSG_LEN(2 * sizeof(int));
  const int values[2] = {pages, offset};
  std::memcpy(CMSG_DATA(header), values, sizeof(values));
  return ::sendmsg(socket, &message, MSG_ZEROCOPY | MSG_DONTWAIT);
}

ssize_t receive_to_device(int socket, std::size_t bytes, std::vector<DeviceCmsgIn>* fragments) {
  std::vector<std::byte> place(bytes);
  std::vector<std::byte> control(65536);
  iovec data{place.data(), place.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t received = ::recvmsg(socket, &message, 0x2000000 | MSG_DONTWAIT);
  if (received <= 0) return received;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    DeviceCmsgIn fragment{};
    std::memcpy(&fragment, CMSG_DATA(header), sizeof(fragment));
    fragments->push_back(fragment);
  }
  return received;
}

// Sends `bytes` and receives them: their fragments, in order.
std::vector<DeviceCmsgIn> move(const SocketPair& pair, std::span<std::byte> bytes) {
  const int pages = register_memory(bytes);
  EXPECT_GE(pages, 0);
  std::size_t sent = 0;
  std::size_t received = 0;
  std::vector<DeviceCmsgIn> fragments;
  while (received < bytes.size()) {
    if (sent < bytes.size()) {
      const ssize_t some =
          send_from(pair.sender, pages, static_cast<int>(sent), bytes.size() - sent);
      if (some > 0) sent += static_cast<std::size_t>(some);
    }
    const ssize_t some = receive_to_device(pair.receiver, bytes.size() - received, &fragments);
    if (some > 0) received += static_cast<std::size_t>(some);
    EXPECT_TRUE(some >= 0 || errno == EAGAIN) << std::strerror(errno);
    if (some == 0 || (some < 0 && errno != EAGAIN)) break;
  }
  ::close(pages);
  return fragments;
}

// The pool as the plugin maps it.
const std::byte* import_pool() {
  std::string wrong;
  const std::string gpu = environment_of(kGpuVariable);
  const int fd = ask_for_fd(environment_of(kFolderVariable) + "/get_gpu_fd_" + gpu, gpu, &wrong);
  EXPECT_EQ(wrong, "");
  Settings settings;
  EXPECT_EQ(read_environment(settings), "");
  const std::size_t bytes = settings.pool_pages * kPageBytes;
  std::uint64_t allocation = 0;
  std::uint64_t address = 0;
  EXPECT_EQ(cuda("cuMemImportFromShareableHandle", &allocation,
                 reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)), 1),
            0);
  EXPECT_EQ(cuda("cuMemAddressReserve", &address, bytes, std::size_t{4096}, std::uint64_t{0}, 0ull),
            0);
  EXPECT_EQ(cuda("cuMemMap", address, bytes, std::size_t{0}, allocation, 0ull), 0);
  ::close(fd);
  const int access[3] = {1, 0, 3};
  EXPECT_EQ(
      cuda("cuMemSetAccess", address, bytes, static_cast<const void*>(access), std::size_t{1}), 0);
  return reinterpret_cast<const std::byte*>(address);
}

TEST(PreloadTest, BytesLandInTheImportedPool) {
  const std::byte* pool = import_pool();
  const SocketPair pair;
  const DeviceBuffer memory(300'000);
  for (std::size_t i = 0; i < memory.bytes().size(); ++i) {
    memory.bytes()[i] = static_cast<std::byte>(i * 131 + (i >> 8) * 7);
  }
  const std::vector<DeviceCmsgIn> fragments = move(pair, memory.bytes());
  std::size_t at = 0;
  for (const DeviceCmsgIn& fragment : fragments) {
    ASSERT_LE(at + fragment.bytes, memory.bytes().size());
    ASSERT_EQ(std::memcmp(pool + fragment.offset, memory.bytes().data() + at, fragment.bytes), 0);
    at += fragment.bytes;
  }
  EXPECT_EQ(at, memory.bytes().size());
}

TEST(PreloadTest, PagesComeBackByDontNeedOfBothNumbersAndByClose) {
  const PageTable table = shared_pages();
  const PageCounts before = table.counts();
  std::uint64_t pages = 0;
  {
    const SocketPair pair;
    const DeviceBuffer memory(40'000);
    std::vector<DeviceCmsgIn> fragments = move(pair, memory.bytes());
    ASSERT_GE(fragments.size(), 3u);
    pages = fragments.size();
    EXPECT_EQ(table.counts().in_use - before.in_use, pages);
    for (const int name : {97, 80}) {
      const std::uint32_t range[2] = {fragments.back().token, 1};
      EXPECT_EQ(::setsockopt(pair.receiver, SOL_SOCKET, name, range, sizeof(range)), 0);
      fragments.pop_back();
    }
    EXPECT_EQ(table.counts().returned - before.returned, 2u);
  }
  EXPECT_EQ(table.counts().in_use, before.in_use);
  EXPECT_EQ(table.counts().lost - before.lost, pages - 2);
}

TEST(PreloadTest, ADescriptorThatIsReusedIsANewSocket) {
  int first = -1;
  for (int i = 0; i < 2; ++i) {
    SocketPair pair;
    const DeviceBuffer memory(4096);
    EXPECT_GE(move(pair, memory.bytes()).size(), 1u);
    if (i == 0) first = pair.receiver;
    EXPECT_EQ(pair.receiver, first) << "this test wants the same descriptor again";
    pair.close_sender();
    pair.wait_for_arrival();
    std::vector<DeviceCmsgIn> none;
    EXPECT_EQ(receive_to_device(pair.receiver, 100, &none), 0);
  }
}

TEST(PreloadTest, AChildThatClosesTakesNoPageFromItsParent) {
  const PageTable table = shared_pages();
  const SocketPair pair;
  const DeviceBuffer memory(4096);
  const std::size_t pages = move(pair, memory.bytes()).size();
  const std::uint64_t in_use = table.counts().in_use;
  ASSERT_GE(pages, 1u);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pair.receiver);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(table.counts().in_use, in_use);
}

TEST(PreloadTest, SendCompletionsComeOnTheErrorQueue) {
  const SocketPair pair;
  const DeviceBuffer memory(4096);
  const int pages = register_memory(memory.bytes());
  ASSERT_EQ(send_from(pair.sender, pages, 96, 4000), 4000);
  std::vector<std::byte> got(4000);
  ASSERT_EQ(::recv(pair.receiver, got.data(), got.size(), MSG_WAITALL), 4000);
  alignas(cmsghdr) char control[100];
  msghdr message{};
  ssize_t result = -1;
  while (result < 0) {
    message = {};
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    result = ::recvmsg(pair.sender, &message, MSG_ERRQUEUE);
    ASSERT_TRUE(result >= 0 || errno == EAGAIN);
    ::sched_yield();
  }
  sock_extended_err completion{};
  ASSERT_NE(CMSG_FIRSTHDR(&message), nullptr);
  std::memcpy(&completion, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(completion));
  EXPECT_EQ(completion.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
  EXPECT_EQ(completion.ee_info, 0u);
  EXPECT_EQ(completion.ee_data, 0u);
  ::close(pages);
}

TEST(PreloadTest, ADescriptorThatIsClosedSendsNothing) {
  const SocketPair pair;
  const DeviceBuffer memory(4096);
  const int pages = register_memory(memory.bytes());
  ::close(pages);
  EXPECT_EQ(send_from(pair.sender, pages, 0, 4096), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(PreloadTest, MemoryThatIsNotAlignedIsNotExported) {
  const DeviceBuffer memory(8192);
  EXPECT_EQ(register_memory(memory.bytes().subspan(1)), -1);
  CreatePages request{};
  EXPECT_EQ(::ioctl(STDIN_FILENO, kCreatePages, &request), -1);
}

TEST(PreloadTest, EveryNicHasAPciDevice) {
  char* path = ::realpath("/sys/class/net/lo/device", nullptr);
  ASSERT_NE(path, nullptr);
  unsigned short address[3];
  EXPECT_EQ(std::sscanf(std::strrchr(path, '/') + 1, "0000:%hx:%hx.%hx", &address[0], &address[1],
                        &address[2]),
            3);
  std::free(path);
  char buffer[PATH_MAX];
  EXPECT_EQ(::realpath("/sys/class/net/lo/device", buffer), buffer);
  EXPECT_EQ(::realpath("/sys/class/net/no-such-nic/device", nullptr), nullptr);
  EXPECT_EQ(::realpath("/sys/class/net//device", nullptr), nullptr);
}

TEST(PreloadTest, WhatIsNotAboutDeviceMemoryGoesOnToTheKernel) {
  char path[PATH_MAX];
  ASSERT_EQ(::realpath("/usr/../proc", path), path);
  EXPECT_STREQ(path, "/proc");
  // libc has an older function of this name, which wants a buffer.
  const std::unique_ptr<char, decltype(&std::free)> made(::realpath("/proc", nullptr), &std::free);
  EXPECT_STREQ(made.get(), "/proc");
  const SocketPair pair;
  char text[] = "plain";
  iovec data{text, sizeof(text)};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  EXPECT_EQ(::sendmsg(pair.sender, &message, 0), static_cast<ssize_t>(sizeof(text)));
  EXPECT_EQ(::recvmsg(pair.receiver, &message, MSG_WAITALL), static_cast<ssize_t>(sizeof(text)));
  EXPECT_EQ(::recvmsg(pair.sender, &message, MSG_ERRQUEUE | MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
  const int on = 1;
  EXPECT_EQ(::setsockopt(pair.sender, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), 0);
  int bytes = -1;
  EXPECT_EQ(::ioctl(pair.receiver, FIONREAD, &bytes), 0);
  EXPECT_EQ(bytes, 0);
}

}  // namespace
}  // namespace sluice::emulator
