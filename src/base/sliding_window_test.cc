#include "src/base/sliding_window.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace sluice {
namespace {

struct Chunk {
  std::uint64_t number = 0;
};
using Window = SlidingWindow<Chunk, 16>;

TEST(SlidingWindowTest, StartsEmpty) {
  Window window(16);
  EXPECT_TRUE(window.empty());
  EXPECT_FALSE(window.full());
  EXPECT_EQ(window.in_flight(), 0u);
  EXPECT_EQ(window.limit(), 16u);
  EXPECT_EQ(window.waiting_to_arrive(), 0u);
  EXPECT_EQ(window.waiting_to_unpack(), 0u);
  EXPECT_EQ(window.waiting_to_release(), 0u);
}

TEST(SlidingWindowTest, OneChunkPassesEveryStage) {
  Window window(1);
  window.next().number = 42;
  EXPECT_TRUE(window.empty());  // Filling a place does not post it.
  window.post();
  EXPECT_TRUE(window.full());
  EXPECT_EQ(window.oldest_posted().number, 42u);
  window.arrive();
  EXPECT_EQ(window.waiting_to_arrive(), 0u);
  EXPECT_EQ(window.oldest_arrived().number, 42u);
  window.unpack();
  EXPECT_EQ(window.waiting_to_unpack(), 0u);
  EXPECT_EQ(window.oldest_unpacking().number, 42u);
  EXPECT_TRUE(window.full());  // Its place is free only after the release.
  window.release();
  EXPECT_TRUE(window.empty());
}

// For every limit: 100,000 chunks with stages that move in random bursts, against plain counters.
TEST(SlidingWindowTest, ChunksPassEveryStageInOrderAndNeverExceedTheLimit) {
  constexpr std::uint64_t kChunks = 100'000;
  for (std::uint32_t limit = 1; limit <= 16; ++limit) {
    Window window(limit);
    std::mt19937 random(limit);
    std::uint64_t posted = 0, arrived = 0, unpacking = 0, released = 0;
    std::uint32_t fullest = 0;
    while (released < kChunks) {
      for (std::uint64_t burst = random() % 4; burst > 0 && released < unpacking; --burst) {
        ASSERT_EQ(window.oldest_unpacking().number, released);
        window.release();
        ++released;
      }
      for (std::uint64_t burst = random() % 4; burst > 0 && unpacking < arrived; --burst) {
        ASSERT_EQ(window.oldest_arrived().number, unpacking);
        window.unpack();
        ++unpacking;
      }
      for (std::uint64_t burst = random() % 4; burst > 0 && arrived < posted; --burst) {
        ASSERT_EQ(window.oldest_posted().number, arrived);
        window.arrive();
        ++arrived;
      }
      for (std::uint64_t burst = random() % 6; burst > 0 && !window.full() && posted < kChunks;
           --burst) {
        window.next().number = posted;
        window.post();
        ++posted;
      }
      ASSERT_EQ(window.waiting_to_arrive(), posted - arrived);
      ASSERT_EQ(window.waiting_to_unpack(), arrived - unpacking);
      ASSERT_EQ(window.waiting_to_release(), unpacking - released);
      ASSERT_EQ(window.in_flight(), posted - released);
      ASSERT_EQ(window.full(), posted - released == limit);
      fullest = std::max(fullest, window.in_flight());
    }
    EXPECT_EQ(fullest, limit);
  }
}

void fill(Window& window, std::uint64_t first) {
  for (std::uint64_t number = first; !window.full(); ++number) {
    window.next().number = number;
    window.post();
  }
}

void hand_over(Window& window) {
  while (window.waiting_to_arrive() > 0) window.arrive();
}

TEST(SlidingWindowTest, ReleasedFreesTheOldestOnly) {
  Window window(16);
  fill(window, 0);
  hand_over(window);
  std::vector<std::uint64_t> asked;
  const auto answer = window.try_release_oldest([&](Chunk& chunk) {
    asked.push_back(chunk.number);
    return Release::kReleased;
  });
  EXPECT_EQ(answer, Release::kReleased);
  EXPECT_EQ(asked, std::vector<std::uint64_t>{0});
  EXPECT_EQ(window.in_flight(), 15u);
  EXPECT_EQ(window.waiting_to_unpack(), 15u);
  EXPECT_EQ(window.oldest_arrived().number, 1u);
}

TEST(SlidingWindowTest, WhatTheNetDoesNotHaveIsNotAskedAbout) {
  Window window(4);
  fill(window, 0);
  const auto release = [](Chunk&) { return Release::kReleased; };
  EXPECT_EQ(window.try_release_oldest(release), Release::kNotYet);
  window.arrive();
  EXPECT_EQ(window.try_release_oldest(release), Release::kReleased);
  EXPECT_EQ(window.try_release_oldest(release), Release::kNotYet);
  EXPECT_EQ(window.in_flight(), 3u);
  EXPECT_EQ(window.oldest_posted().number, 1u);
}

TEST(SlidingWindowTest, VisitsWhatHasArrivedAndIsNotBeingUnpacked) {
  Window window(8);
  fill(window, 0);
  for (int i = 0; i < 5; ++i) window.arrive();
  window.unpack();
  std::vector<std::uint64_t> visited;
  window.for_each_arrived([&](Chunk& chunk) { visited.push_back(chunk.number); });
  EXPECT_EQ(visited, (std::vector<std::uint64_t>{1, 2, 3, 4}));
}

TEST(SlidingWindowTest, VisitsWhatIsUnpackingWithItsPlaces) {
  Window window(8);
  std::vector<std::uint32_t> places;
  for (std::uint64_t number = 0; number < 12; ++number) {  // The ring is gone around.
    places.push_back(window.next_place());
    window.next().number = number;
    window.post();
    window.arrive();
    window.unpack();
    if (number < 7) window.release();
  }
  std::vector<std::uint64_t> visited;
  window.for_each_unpacking([&](Chunk& chunk, std::uint32_t place) {
    EXPECT_EQ(place, places[chunk.number]);
    visited.push_back(chunk.number);
    return chunk.number < 10;
  });
  EXPECT_EQ(visited, (std::vector<std::uint64_t>{7, 8, 9, 10}));
}

TEST(SlidingWindowTest, NotYetAndFailedFreeNothing) {
  Window window(16);
  fill(window, 0);
  hand_over(window);
  for (const Release given : {Release::kNotYet, Release::kFailed, Release::kNotYet}) {
    int asked = 0;
    const auto answer = window.try_release_oldest([&](Chunk& chunk) {
      EXPECT_EQ(chunk.number, 0u);
      ++asked;
      return given;
    });
    EXPECT_EQ(answer, given);
    EXPECT_EQ(asked, 1);
    EXPECT_TRUE(window.full());
  }
}

TEST(SlidingWindowTest, AnEmptyWindowAsksNothing) {
  Window window(4);
  const auto answer = window.try_release_oldest([](Chunk&) {
    ADD_FAILURE() << "asked about a chunk that is not there";
    return Release::kReleased;
  });
  EXPECT_EQ(answer, Release::kNotYet);
  EXPECT_TRUE(window.empty());
}

// Every chunk but the oldest is finished long ago; it must not be asked about, let alone freed.
TEST(SlidingWindowTest, YoungerChunksWaitForTheOldest) {
  Window window(16);
  fill(window, 100);
  hand_over(window);
  const auto test = [](Chunk& chunk) {
    EXPECT_EQ(chunk.number, 100u) << "only the oldest may be tested";
    return chunk.number == 100 ? Release::kNotYet : Release::kReleased;
  };
  for (int i = 0; i < 50; ++i) EXPECT_EQ(window.try_release_oldest(test), Release::kNotYet);
  EXPECT_TRUE(window.full());
}

TEST(SlidingWindowTest, SendsAreTestedAndReleasedInOrder) {
  constexpr std::uint64_t kChunks = 100'000;
  for (const std::uint32_t limit : {1u, 2u, 15u, 16u}) {
    Window window(limit);
    std::mt19937 random(limit);
    std::uint64_t posted = 0, released = 0;
    while (released < kChunks) {
      if (posted < kChunks && !window.full() && random() % 3 != 0) {
        window.next().number = posted;
        window.post();
        ++posted;
      }
      if (random() % 2 == 0) hand_over(window);
      const auto answer = window.try_release_oldest([&](Chunk& chunk) {
        EXPECT_EQ(chunk.number, released);
        return random() % 3 == 0 ? Release::kReleased : Release::kNotYet;
      });
      if (answer == Release::kReleased) ++released;
      ASSERT_EQ(window.in_flight(), posted - released);
      ASSERT_LE(window.in_flight(), limit);
    }
    EXPECT_TRUE(window.empty());
  }
}

TEST(SlidingWindowDeathTest, BreakingTheOrderOfStagesIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Window(0), "limit 0 capacity 16");
  EXPECT_DEATH(Window(17), "limit 17 capacity 16");
  Window window(2);
  EXPECT_DEATH(window.arrive(), "nothing posted");
  EXPECT_DEATH(window.unpack(), "nothing arrived");
  EXPECT_DEATH(window.release(), "nothing unpacking");
  EXPECT_DEATH(window.oldest_posted(), "nothing at this stage");
  fill(window, 0);
  EXPECT_DEATH(window.next(), "in flight 2 limit 2");
  EXPECT_DEATH(window.post(), "in flight 2 limit 2");
  EXPECT_DEATH(window.unpack(), "nothing arrived");
  window.arrive();
  EXPECT_DEATH(window.release(), "nothing unpacking");
}

}  // namespace
}  // namespace sluice
