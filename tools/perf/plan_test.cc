#include "tools/perf/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace sluice::perf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;

TEST(ParseSizes, Lists) {
  EXPECT_THAT(*parse_sizes("8"), ElementsAre(8u));
  EXPECT_THAT(*parse_sizes("0,64K,1MiB,8G"), ElementsAre(0u, 65536u, kMiB, 8 * kGiB));
}

TEST(ParseSizes, RefusesAndNamesTheRange) {
  for (const char* bad :
       {"", ",", "8,", ",8", "8,,8", "8 ,8", "x", "-1", "8G1", "9G", "8589934593"}) {
    const auto sizes = parse_sizes(bad);
    ASSERT_FALSE(sizes.ok()) << bad;
    EXPECT_EQ(sizes.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(sizes.status().message()), HasSubstr("legal are 0 to 8 GiB")) << bad;
  }
}

TEST(MakePlan, TakesOverWhatWasAsked) {
  PerfOptions options;
  options.perf_size = "1M";
  options.perf_phase_ms = 250;
  options.perf_verify = "all";
  options.perf_iterations = 7;
  const auto plan = make_plan(options, true);
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->sizes, ElementsAre(kMiB));
  EXPECT_DOUBLE_EQ(plan->phase_seconds, 0.25);
  EXPECT_EQ(plan->verify, Verify::kAll);
  EXPECT_EQ(plan->iterations, 7u);
  EXPECT_TRUE(plan->both_directions);

  options.perf_verify = "some";
  EXPECT_EQ(make_plan(options, false).status().code(), StatusCode::kInvalidArgument);
}

TEST(MakeLayout, LeavesRoomBeforeTheMessages) {
  const auto layout = make_layout(kMiB, 1, 3 * kMiB + 1, 24 * kGiB);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->only_lane().offset(0), 3 * kMiB + 64);
  EXPECT_LE(layout->only_lane().offset(layout->slots - 1) + kMiB, layout->region_bytes);
  EXPECT_LE(layout->recv_lane().offset(layout->slots / 2 - 1) + kMiB, layout->region_bytes);
  EXPECT_EQ(layout->slots, 64u);
  const auto tight = make_layout(kMiB, 2, kMiB, 4 * kMiB);
  ASSERT_TRUE(tight.ok());
  EXPECT_EQ(tight->slots, 2u);
  EXPECT_FALSE(make_layout(kMiB, 2, 8 * kGiB, 10 * kGiB).ok());
}

TEST(MakeLayout, MessagesNeverOverlapNorLeaveTheRegion) {
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{63}, std::uint64_t{65}, 32 * kMiB - 1,
        32 * kMiB + 1, 64 * kMiB, kLargestMessage}) {
    for (const std::uint64_t available : {200 * kMiB, 3 * kGiB, 11 * kGiB, 64 * kGiB}) {
      const auto layout = make_layout(size, 2, 0, available);
      if (!layout.ok()) {
        EXPECT_GT(2 * size, available / 4);
        continue;
      }
      ASSERT_GE(layout->slots, 2u);
      EXPECT_LE(layout->region_bytes, available / 4 * 3);
      EXPECT_EQ(layout->stride % 64, 0u);
      const Lane send = layout->send_lane();
      const Lane recv = layout->recv_lane();
      for (const Lane& lane : {send, recv, layout->only_lane()}) {
        EXPECT_GE(lane.stride, size);
        EXPECT_LE(lane.offset(lane.slots - 1) + size, layout->region_bytes);
        EXPECT_EQ(lane.offset(lane.slots), lane.first);
      }
      EXPECT_LE(send.offset(send.slots - 1) + send.stride, recv.first);
    }
  }
}

TEST(MakeLayout, RegionDefeatsTheCacheWhereMemoryAllows) {
  EXPECT_EQ(make_layout(8, 1, 0, 24 * kGiB)->region_bytes, 64 * kMiB);
  EXPECT_EQ(make_layout(64 * kMiB, 1, 0, 24 * kGiB)->slots, 2u);
  EXPECT_EQ(make_layout(8 * kGiB, 1, 0, 40 * kGiB)->slots, 2u);
  EXPECT_EQ(make_layout(8 * kGiB, 1, 0, 16 * kGiB)->slots, 1u);
  const auto refused = make_layout(8 * kGiB, 1, 0, 10 * kGiB);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("8589934592 bytes"));
  EXPECT_FALSE(make_layout(8 * kGiB, 2, 0, 16 * kGiB).ok());
}

TEST(Blocks, LieInTheirSpanOnceEach) {
  for (const BlockOrder order :
       {BlockOrder::kContiguous, BlockOrder::kRandom, BlockOrder::kStrided}) {
    const Blocks blocks{1000, 48, order};
    EXPECT_EQ(blocks.span(), order == BlockOrder::kStrided ? 1999u * 48 : 1000u * 48);
    const std::vector<std::uint64_t> here = blocks.places(0);
    EXPECT_EQ(here == blocks.places(1), order != BlockOrder::kRandom);
    std::vector<std::uint64_t> sorted = here;
    std::sort(sorted.begin(), sorted.end());
    ASSERT_EQ(sorted.size(), 1000u);
    EXPECT_EQ(sorted == here, order != BlockOrder::kRandom);
    for (std::size_t i = 1; i < sorted.size(); ++i) EXPECT_GE(sorted[i], sorted[i - 1] + 48);
    EXPECT_EQ(sorted.back() + 48, blocks.span());
  }
}

TEST(MessagesFor, ScalesAndStaysInRange) {
  EXPECT_EQ(messages_for(1.0, 10, 0.1), 100u);
  EXPECT_EQ(messages_for(1.0, 1, 5.0), 1u);
  EXPECT_EQ(messages_for(1.0, 1000, 0), kMostMessages);
  EXPECT_EQ(messages_for(0, 0, 0), 1u);
  EXPECT_EQ(messages_for(std::numeric_limits<double>::quiet_NaN(), 1, 1), 1u);
}

TEST(Checked, FollowsVerify) {
  EXPECT_EQ(checked_in_first(Verify::kFirst, 3), 3u);
  EXPECT_EQ(checked_in_later(Verify::kFirst, 3), 0u);
  EXPECT_EQ(checked_in_first(Verify::kAll, 3), 3u);
  EXPECT_EQ(checked_in_later(Verify::kAll, 3), 3u);
  EXPECT_EQ(checked_in_first(Verify::kNone, 3), 0u);
  EXPECT_EQ(checked_in_later(Verify::kNone, 3), 0u);
}

}  // namespace
}  // namespace sluice::perf
