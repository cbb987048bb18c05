#include "src/gpu/host_gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace sluice {
namespace {

constexpr std::uint64_t kMax = UINT64_MAX;

struct Case {
  std::vector<Fragment> fragments;
  std::uint64_t pool, chunk, arrived;
};

bool fits(const Case& c) { return fragments_fit(c.fragments, c.pool, c.chunk, c.arrived); }

TEST(FragmentsFitTest, WhatFillsTheArrivalExactlyFits) {
  EXPECT_TRUE(fits({{}, 0, 0, 0}));
  EXPECT_TRUE(fits({{}, 100, 100, 0}));
  EXPECT_TRUE(fits({{{0, 100, 0}}, 100, 100, 100}));
  EXPECT_TRUE(fits({{{60, 40, 0}, {0, 20, 40}}, 100, 100, 60}));
  EXPECT_TRUE(fits({{{0, 30, 30}, {50, 30, 0}}, 100, 60, 60}));  // In any order.
  EXPECT_TRUE(fits({{{100, 0, 10}, {0, 10, 0}}, 100, 10, 10}));  // One of nothing at both ends.
  EXPECT_TRUE(fits({{{0, kMax, 0}}, kMax, kMax, kMax}));
}

TEST(FragmentsFitTest, WhatLeavesThePoolIsRefused) {
  EXPECT_FALSE(fits({{{1, 100, 0}}, 100, 100, 100}));
  EXPECT_FALSE(fits({{{0, 101, 0}}, 100, 200, 101}));
  EXPECT_FALSE(fits({{{101, 0, 0}, {0, 10, 0}}, 100, 10, 10}));
  EXPECT_FALSE(fits({{{0, 1, 0}}, 0, 1, 1}));
  EXPECT_FALSE(fits({{{kMax, 10, 0}}, 100, 10, 10}));      // offset + length is 9
  EXPECT_FALSE(fits({{{kMax - 9, 10, 0}}, 100, 10, 10}));  // offset + length is 0
  EXPECT_FALSE(fits({{{10, kMax - 9, 0}}, 100, kMax, kMax - 9}));
}

TEST(FragmentsFitTest, WhatLeavesTheArrivedBytesIsRefused) {
  EXPECT_FALSE(fits({{{0, 50, 51}}, 100, 100, 50}));
  EXPECT_FALSE(fits({{{0, 50, 1}}, 100, 100, 50}));
  EXPECT_FALSE(fits({{{0, 50, kMax}}, 100, 100, 50}));
  EXPECT_FALSE(fits({{{0, 50, kMax - 49}}, 100, 100, 50}));
  EXPECT_FALSE(fits({{{0, 0, 51}, {0, 50, 0}}, 100, 100, 50}));
}

TEST(FragmentsFitTest, MoreThanTheChunkIsRefused) {
  EXPECT_FALSE(fits({{{0, 101, 0}}, 200, 100, 101}));
  EXPECT_FALSE(fits({{}, 0, 0, 1}));
  EXPECT_FALSE(fits({{{0, kMax, 0}}, kMax, 100, kMax}));
}

TEST(FragmentsFitTest, SumsThatAreNotTheArrivedBytesAreRefused) {
  EXPECT_FALSE(fits({{}, 100, 100, 10}));
  EXPECT_FALSE(fits({{{0, 9, 0}}, 100, 100, 10}));
  EXPECT_FALSE(fits({{{0, 10, 0}, {0, 1, 0}}, 100, 100, 10}));
  EXPECT_FALSE(fits({{{0, 10, 0}, {0, 10, 0}}, 100, 100, 10}));  // Twice over the same place.
  // Lengths whose sum comes round to the arrived bytes.
  const std::uint64_t half = 1ull << 63;
  EXPECT_FALSE(fits({{{0, half, 0}, {0, half, 0}, {0, 10, 0}}, kMax, kMax, 10}));
  EXPECT_FALSE(fits({{{0, half, 0}, {0, half, 0}, {0, half, 0}}, kMax, kMax, half}));
}

// The rule in arithmetic that cannot overflow.
bool fits_by_the_rule(const Case& c) {
  using Wide = unsigned __int128;
  Wide sum = 0;
  for (const Fragment& f : c.fragments) {
    if (Wide{f.pool_offset} + f.length > c.pool) return false;
    if (Wide{f.destination_offset} + f.length > c.arrived) return false;
    sum += f.length;
  }
  return c.arrived <= c.chunk && sum == c.arrived;
}

TEST(FragmentsFitTest, AgreesWithTheRuleOnHostileNumbers) {
  std::mt19937_64 random(3);
  const std::uint64_t numbers[] = {
      0, 1, 2, 3, 1ull << 32, (1ull << 63) - 1, 1ull << 63, kMax - 2, kMax - 1, kMax};
  const auto any = [&] { return numbers[random() % std::size(numbers)]; };
  int fitting = 0;
  for (int round = 0; round < 100'000; ++round) {
    Case c{{}, any(), any(), any()};
    for (std::uint64_t count = random() % 4; count > 0; --count) {
      c.fragments.push_back({any(), any(), any()});
    }
    ASSERT_EQ(fits(c), fits_by_the_rule(c)) << "round " << round;
    fitting += fits(c) ? 1 : 0;
  }
  EXPECT_GT(fitting, 50);  // Or the numbers say nothing about the cases that fit.
}

std::vector<std::byte> random_bytes(std::size_t count, std::mt19937_64& random) {
  std::vector<std::byte> bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

// Cuts [0, bytes) into pieces of random lengths, each at its own random place in the pool.
std::vector<Fragment> scatter(std::uint64_t bytes, std::uint64_t pool_bytes,
                              std::mt19937_64& random) {
  std::vector<Fragment> fragments;
  for (std::uint64_t at = 0; at < bytes;) {
    const std::uint64_t length = std::min(bytes - at, random() % 4096);
    fragments.push_back({random() % (pool_bytes - length + 1), length, at});
    at += length;
  }
  std::shuffle(fragments.begin(), fragments.end(), random);
  return fragments;
}

TEST(HostGpuTest, PutsEveryFragmentInItsPlace) {
  std::mt19937_64 random(5);
  HostGpu gpu;
  for (int round = 0; round < 200; ++round) {
    const auto pool = random_bytes(8192 + random() % 8192, random);
    constexpr std::size_t kChunks = 5;
    std::vector<std::vector<Fragment>> fragments;
    std::vector<std::vector<std::byte>> destinations, expected;
    std::vector<Unpack> batch;
    for (std::size_t i = 0; i < kChunks; ++i) {
      const std::uint64_t bytes = random() % 20'000;
      fragments.push_back(scatter(bytes, pool.size(), random));
      ASSERT_TRUE(fragments_fit(fragments[i], pool.size(), bytes, bytes));
      destinations.push_back(random_bytes(bytes + 16, random));  // 16 that nobody may touch.
      expected.push_back(destinations[i]);
      for (const Fragment& f : fragments[i]) {
        for (std::uint64_t k = 0; k < f.length; ++k) {
          expected[i][f.destination_offset + k] = pool[f.pool_offset + k];
        }
      }
    }
    for (std::size_t i = 0; i < kChunks; ++i) {
      batch.push_back(
          {fragments[i], pool, std::span(destinations[i]).first(destinations[i].size() - 16)});
    }
    const std::uint64_t ticket = gpu.unpack(batch);
    ASSERT_EQ(gpu.test(ticket), GpuAnswer::kDone);
    ASSERT_EQ(destinations, expected) << "round " << round;
  }
}

TEST(HostGpuTest, AChunkOfNoBytesNeedsNoMemory) {
  HostGpu gpu;
  const Fragment nothing{0, 0, 0};
  const Unpack empty[] = {{{}, {}, {}}, {{&nothing, 1}, {}, {}}};
  EXPECT_EQ(gpu.test(gpu.unpack(empty)), GpuAnswer::kDone);
}

TEST(HostGpuTest, TicketsRiseAndStayDone) {
  HostGpu gpu;
  const Unpack nothing{};
  const std::uint64_t first = gpu.unpack({&nothing, 1});
  const std::uint64_t second = gpu.unpack({&nothing, 1});
  EXPECT_LT(first, second);
  EXPECT_EQ(gpu.test(second), GpuAnswer::kDone);
  EXPECT_EQ(gpu.test(first), GpuAnswer::kDone);
  EXPECT_TRUE(gpu.failure().ok());
}

TEST(HostGpuDeathTest, EmptyBatchesAndUnknownTicketsAreBugs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  HostGpu gpu;
  EXPECT_DEATH(gpu.unpack({}), "check failed");
  EXPECT_DEATH(gpu.test(0), "ticket 0 of 0");
  const Unpack nothing{};
  const std::uint64_t ticket = gpu.unpack({&nothing, 1});
  EXPECT_DEATH(gpu.test(ticket + 1), "check failed");
}

}  // namespace
}  // namespace sluice
