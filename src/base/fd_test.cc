#include "src/base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <thread>
#include <utility>

namespace sluice {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

Fd open_null() { return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

bool readable(int fd, int limit_ms) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, limit_ms) == 1 && (entry.revents & POLLIN) != 0;
}

TEST(FdTest, ClosesWhatItOwns) {
  int number = -1;
  {
    const Fd fd = open_null();
    number = fd.get();
    ASSERT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(FdTest, MovingHandsTheDescriptorOn) {
  Fd first = open_null();
  const int number = first.get();
  const Fd second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): what a moved-from Fd is.
  EXPECT_EQ(second.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(FdTest, AssigningClosesTheOldDescriptorOnly) {
  Fd first = open_null();
  Fd second = open_null();
  const int old_number = first.get();
  const int new_number = second.get();
  first = std::move(second);
  EXPECT_FALSE(is_open(old_number));
  EXPECT_TRUE(is_open(new_number));
  EXPECT_EQ(first.get(), new_number);
}

TEST(FdTest, AssigningToItselfKeepsTheDescriptor) {
  Fd fd = open_null();
  Fd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(fd.valid());
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(FdTest, ResettingTwiceClosesOnce) {
  Fd fd = open_null();
  const int number = fd.get();
  fd.reset();
  const Fd other = open_null();  // Takes the number that has just become free.
  ASSERT_EQ(other.get(), number);
  fd.reset();
  EXPECT_TRUE(is_open(number));
}

TEST(FdTest, ClosingKeepsErrno) {
  Fd bad(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ::close(bad.get());  // So that the close() within fails and sets EBADF.
  errno = ECONNREFUSED;
  bad.reset();
  EXPECT_EQ(errno, ECONNREFUSED);
}

TEST(EventFdTest, IsReadableFromRingToClear) {
  const auto bell = EventFd::create();
  ASSERT_TRUE(bell.ok()) << bell.status().to_string();
  EXPECT_FALSE(readable(bell->get(), 0));
  bell->ring();
  bell->ring();
  EXPECT_TRUE(readable(bell->get(), 0));
  EXPECT_TRUE(readable(bell->get(), 0));
  bell->clear();
  EXPECT_FALSE(readable(bell->get(), 0));
}

TEST(EventFdTest, NeverBlocks) {
  const auto bell = EventFd::create();
  ASSERT_TRUE(bell.ok());
  bell->clear();  // Silent already.
  const std::uint64_t fullest = UINT64_MAX - 1;
  ASSERT_EQ(::write(bell->get(), &fullest, sizeof(fullest)), ssize_t{sizeof(fullest)});
  bell->ring();  // The counter has no room left.
  EXPECT_TRUE(readable(bell->get(), 0));
}

TEST(EventFdTest, KeepsErrnoForTheCodeThatASignalInterrupted) {
  const auto bell = EventFd::create();
  ASSERT_TRUE(bell.ok());
  errno = EINTR;
  bell->clear();  // EAGAIN within.
  EXPECT_EQ(errno, EINTR);
}

TEST(EventFdTest, WakesAnotherThread) {
  const auto bell = EventFd::create();
  ASSERT_TRUE(bell.ok());
  std::thread ringer([&] { bell->ring(); });
  EXPECT_TRUE(readable(bell->get(), 10'000));
  ringer.join();
}

TEST(EventFdTest, SaysWhyItCannotBeMade) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto bell = EventFd::create();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(bell.ok());
  EXPECT_EQ(bell.status().code(), StatusCode::kSystem);
  EXPECT_EQ(bell.status().message(), "eventfd: Too many open files (errno 24)");
}

}  // namespace
}  // namespace sluice
