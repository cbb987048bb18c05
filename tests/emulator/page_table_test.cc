#include "tests/emulator/page_table.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>
#include <thread>
#include <vector>

namespace sluice::emulator {
namespace {

TEST(PageTableTest, GivesNoMoreThanThereAre) {
  PageTable table = PageTable::create(3);
  std::array<std::uint32_t, 5> pages{};
  EXPECT_EQ(table.take({::getpid(), 7}, pages), 3u);
  EXPECT_EQ(std::set<std::uint32_t>(pages.begin(), pages.begin() + 3).size(), 3u);
  EXPECT_EQ(table.take({::getpid(), 7}, pages), 0u);
  EXPECT_EQ(table.counts().most_in_use, 3u);
}

TEST(PageTableTest, FreePagesAreUsedInTurn) {
  PageTable table = PageTable::create(4);
  std::array<std::uint32_t, 3> pages{};
  ASSERT_EQ(table.take({::getpid(), 7}, pages), 3u);
  table.give_back({::getpid(), 7}, 0, 3);
  ASSERT_EQ(table.take({::getpid(), 7}, pages), 3u);
  EXPECT_EQ(pages, (std::array<std::uint32_t, 3>{3, 0, 1}));
}

TEST(PageTableTest, ADeadProcessTakesNoPageWithIt) {
  PageTable table = PageTable::create(4);
  const pid_t child = ::fork();
  if (child == 0) {
    PageTable same = PageTable::open(::dup(table.fd()));
    std::array<std::uint32_t, 4> pages{};
    ::_exit(same.take({::getpid(), 7}, pages) == 4 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(table.counts().in_use, 4u);
  std::array<std::uint32_t, 2> pages{};
  EXPECT_EQ(table.take({::getpid(), 7}, pages), 2u);
  EXPECT_EQ(table.counts().in_use, 2u);
  EXPECT_EQ(table.counts().lost, 4u);
}

TEST(PageTableTest, NoPageIsGivenTwice) {
  PageTable table = PageTable::create(64);
  std::array<std::atomic<int>, 64> holders{};
  std::atomic<int> collisions = 0;
  const auto use = [&](int fd) {
    std::array<std::uint32_t, 20> pages{};
    for (int i = 0; i < 2000; ++i) {
      const std::size_t count = table.take({::getpid(), fd}, pages);
      for (std::size_t k = 0; k < count; ++k) collisions += holders[pages[k]]++ != 0;
      for (std::size_t k = 0; k < count; ++k) {
        --holders[pages[k]];
        table.give_back({::getpid(), fd}, pages[k], 1);
      }
    }
  };
  std::vector<std::thread> threads;
  for (int fd = 0; fd < 4; ++fd) threads.emplace_back(use, fd);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(collisions, 0);
  EXPECT_EQ(table.counts().in_use, 0u);
  EXPECT_EQ(table.counts().taken, table.counts().returned);
  EXPECT_EQ(table.counts().wrong_returns, 0u);
}

TEST(PageTableTest, AFileThatIsNoTableIsRefused) {
  EXPECT_FALSE(PageTable::open(::memfd_create("empty", MFD_CLOEXEC)).valid());
  const int zeros = ::memfd_create("zeros", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(zeros, 1 << 16), 0);
  EXPECT_FALSE(PageTable::open(zeros).valid());
  EXPECT_FALSE(PageTable::open(-1).valid());
}

}  // namespace
}  // namespace sluice::emulator
