#include "tools/perf/lane_flow.h"

#include <gtest/gtest.h>

namespace sluice::perf {
namespace {

constexpr std::uint64_t kAny = UINT64_MAX;

TransferId id(std::uint64_t value) { return TransferId{value}; }

TEST(LaneFlow, DepthIsBoundedByTheSlots) {
  LaneFlow flow({0, 64, 2}, 8, 100, 16);
  ASSERT_TRUE(flow.may_post(kAny));
  flow.post(id(1));
  flow.post(id(2));
  EXPECT_FALSE(flow.may_post(kAny)) << "a third message would lie over the first";
  flow.finish(0);
  EXPECT_TRUE(flow.may_post(kAny));
}

TEST(LaneFlow, OutOfOrderCompletionsKeepTheOldestSlot) {
  LaneFlow flow({128, 64, 4}, 8, 100, 3);
  for (std::uint64_t i = 1; i <= 3; ++i) flow.post(id(i));
  std::uint64_t index = 0;
  ASSERT_TRUE(flow.find(id(3), index));
  EXPECT_EQ(index, 2u);
  flow.finish(index);
  EXPECT_EQ(flow.through(), 0u);
  EXPECT_FALSE(flow.may_post(kAny));
  EXPECT_FALSE(flow.find(id(3), index)) << "a transfer completes once";
  flow.finish(0);
  EXPECT_EQ(flow.through(), 1u);
  flow.finish(1);
  EXPECT_EQ(flow.through(), 3u);
  EXPECT_EQ(flow.slice(RegionId{7}, 5).offset, 128u + 64u);
  EXPECT_EQ(flow.slice(RegionId{7}, 5).length, 8u);
}

TEST(LaneFlow, StopsAtItsTotalAndAtWhatIsAllowed) {
  LaneFlow flow({0, 64, 8}, 8, 2, 8);
  EXPECT_FALSE(flow.may_post(0));
  EXPECT_TRUE(flow.may_post(1));
  flow.post(id(1));
  EXPECT_FALSE(flow.may_post(1));
  flow.post(id(2));
  EXPECT_TRUE(flow.all_posted());
  EXPECT_FALSE(flow.may_post(kAny));
  EXPECT_FALSE(flow.all_through());
  flow.finish(1);
  flow.finish(0);
  EXPECT_TRUE(flow.all_through());
}

TEST(LaneFlow, StrangersAreNotFound) {
  LaneFlow flow({0, 64, 8}, 8, 2, 8);
  std::uint64_t index = 0;
  EXPECT_FALSE(flow.find(id(1), index));
  flow.post(id(1));
  EXPECT_FALSE(flow.find(id(2), index));
  LaneFlow none({0, 64, 8}, 8, 0, 8);
  EXPECT_TRUE(none.all_posted());
  EXPECT_TRUE(none.all_through());
}

}  // namespace
}  // namespace sluice::perf
