#include "src/base/slot_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

namespace sluice {
namespace {

TEST(SlotPoolTest, FindsWhatWasAcquired) {
  SlotPool<int> pool(3);
  const std::uint64_t a = pool.acquire();
  const std::uint64_t b = pool.acquire();
  ASSERT_NE(a, 0u);
  ASSERT_NE(b, 0u);
  *pool.find(a) = 1;
  *pool.find(b) = 2;
  EXPECT_EQ(*pool.find(a), 1);
  EXPECT_EQ(*std::as_const(pool).find(b), 2);
  EXPECT_EQ(pool.used(), 2u);
  EXPECT_EQ(pool.capacity(), 3u);
}

TEST(SlotPoolTest, AFullPoolGivesZeroUntilOneIsReleased) {
  SlotPool<int> pool(2);
  const std::uint64_t a = pool.acquire();
  ASSERT_NE(pool.acquire(), 0u);
  EXPECT_TRUE(pool.full());
  EXPECT_EQ(pool.acquire(), 0u);
  EXPECT_EQ(pool.used(), 2u);
  EXPECT_TRUE(pool.release(a));
  EXPECT_FALSE(pool.full());
  EXPECT_NE(pool.acquire(), 0u);
  EXPECT_TRUE(pool.full());
}

TEST(SlotPoolTest, APoolOfNoneIsAlwaysFull) {
  SlotPool<int> pool(0);
  EXPECT_TRUE(pool.full());
  EXPECT_EQ(pool.acquire(), 0u);
  EXPECT_EQ(pool.find(0), nullptr);
  EXPECT_EQ(pool.find(UINT64_MAX), nullptr);
}

TEST(SlotPoolTest, AStaleIdFindsNothingAlsoWhenItsSlotIsUsedAgain) {
  SlotPool<int> pool(1);
  const std::uint64_t first = pool.acquire();
  ASSERT_TRUE(pool.release(first));
  EXPECT_EQ(pool.find(first), nullptr);
  EXPECT_FALSE(pool.release(first));
  const std::uint64_t second = pool.acquire();
  EXPECT_NE(second, first);
  EXPECT_EQ(pool.find(first), nullptr);
  EXPECT_FALSE(pool.release(first));
  EXPECT_NE(pool.find(second), nullptr);
  EXPECT_EQ(pool.used(), 1u);
}

TEST(SlotPoolTest, InventedIdsFindNothing) {
  SlotPool<int> pool(4);
  const std::uint64_t id = pool.acquire();
  std::vector<std::uint64_t> invented{0, UINT64_MAX, id + 1, id + 4, id ^ (1ull << 63)};
  for (int bit = 0; bit < 64; ++bit) invented.push_back(id ^ (1ull << bit));
  for (const std::uint64_t other : invented) {
    EXPECT_EQ(pool.find(other), nullptr) << other;
    EXPECT_FALSE(pool.release(other)) << other;
  }
  EXPECT_NE(pool.find(id), nullptr);
}

TEST(SlotPoolTest, AcquireGivesAFreshValue) {
  SlotPool<int> pool(1);
  const std::uint64_t first = pool.acquire();
  *pool.find(first) = 99;
  pool.release(first);
  EXPECT_EQ(*pool.find(pool.acquire()), 0);
}

TEST(SlotPoolTest, ReleaseDestroysTheValueAtOnce) {
  const auto token = std::make_shared<int>(1);
  SlotPool<std::shared_ptr<int>> pool(2);
  const std::uint64_t id = pool.acquire();
  *pool.find(id) = token;
  EXPECT_EQ(token.use_count(), 2);
  pool.release(id);
  EXPECT_EQ(token.use_count(), 1);
}

TEST(SlotPoolTest, HoldsValuesThatCanOnlyBeMoved) {
  SlotPool<std::unique_ptr<int>> pool(1);
  const std::uint64_t id = pool.acquire();
  *pool.find(id) = std::make_unique<int>(5);
  EXPECT_EQ(**pool.find(id), 5);
}

TEST(SlotPoolTest, AVisitMayReleaseWhatItIsGiven) {
  SlotPool<int> pool(8);
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t id = pool.acquire();
    *pool.find(id) = i;
    ids.insert(id);
  }
  std::set<std::uint64_t> visited;
  pool.for_each([&](std::uint64_t id, int& value) {
    visited.insert(id);
    if (value % 2 == 0) {
      EXPECT_TRUE(pool.release(id));
    }
  });
  EXPECT_EQ(visited, ids);
  EXPECT_EQ(pool.used(), 4u);
  pool.for_each([](std::uint64_t, int& value) { EXPECT_EQ(value % 2, 1); });
}

TEST(SlotPoolTest, AgreesWithAMapOverManyLives) {
  SlotPool<std::uint64_t> pool(37);
  std::map<std::uint64_t, std::uint64_t> live;
  std::vector<std::uint64_t> dead;
  std::set<std::uint64_t> ever;
  std::mt19937_64 random(7);
  for (int step = 0; step < 30'000; ++step) {
    if (random() % 2 == 0) {
      const std::uint64_t id = pool.acquire();
      ASSERT_EQ(id == 0, live.size() == 37);
      if (id == 0) continue;
      ASSERT_TRUE(ever.insert(id).second) << "id given out twice";
      *pool.find(id) = live[id] = random();
    } else if (!live.empty()) {
      auto victim = live.lower_bound(random() % (live.rbegin()->first + 1));
      ASSERT_EQ(*pool.find(victim->first), victim->second);
      ASSERT_TRUE(pool.release(victim->first));
      dead.push_back(victim->first);
      live.erase(victim);
    }
    ASSERT_EQ(pool.used(), live.size());
    if (!dead.empty()) {
      ASSERT_EQ(pool.find(dead[random() % dead.size()]), nullptr);
    }
  }
  EXPECT_GT(ever.size(), 3'000u);
}

TEST(SlotPoolDeathTest, MoreSlotsThanAnIdCanNameIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(SlotPool<char>((1u << 24) + 1), "capacity 16777217");
}

}  // namespace
}  // namespace sluice
