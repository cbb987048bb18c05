#include "src/engine/transfer.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace sluice {
namespace {

class NoMemory final : public NetMemory {};

class TransferTableTest : public ::testing::Test {
 protected:
  RegionId add_region() {
    auto region = table_.add_region(bytes_, Memory::kHost, std::make_unique<NoMemory>());
    EXPECT_TRUE(region.ok());
    return *region;
  }
  std::uint64_t add(RegionId region) {
    auto id = table_.add(Direction::kSend, PeerId(1), {region, 0, 8});
    return id.ok() ? static_cast<std::uint64_t>(*id) : 0;
  }

  std::array<std::byte, 64> bytes_{};
  TransferTable table_{4, 2};
  std::array<Completion, 8> out_;
};

TEST_F(TransferTableTest, SlicesOutsideOfTheRegionAreRefused) {
  const RegionId region = add_region();
  auto code = [&](Slice slice) {
    return table_.add(Direction::kRecv, PeerId(1), slice).status().code();
  };
  EXPECT_EQ(code({region, 0, 65}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({region, 64, 1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({region, UINT64_MAX, 2}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({region, 2, UINT64_MAX}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({RegionId(12345), 0, 1}), StatusCode::kNotFound);
  EXPECT_EQ(code({region, 64, 0}), StatusCode::kOk);
}

TEST_F(TransferTableTest, FullUntilPolled) {
  const RegionId region = add_region();
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(add(region));
  EXPECT_EQ(table_.add(Direction::kSend, PeerId(1), {region, 0, 1}).status().code(),
            StatusCode::kWouldBlock);
  table_.complete(ids[2], 8, {});
  EXPECT_EQ(add(region), 0u);  // Complete, but its place is free only when it has been polled.
  ASSERT_EQ(table_.poll(out_), 1u);
  EXPECT_EQ(static_cast<std::uint64_t>(out_[0].id), ids[2]);
  EXPECT_EQ(out_[0].bytes, 8u);
  EXPECT_NE(add(region), 0u);
  EXPECT_EQ(table_.find(ids[2]), nullptr);
}

TEST_F(TransferTableTest, CompletionsKeepTheirOrderAndFitSmallArrays) {
  const RegionId region = add_region();
  const std::uint64_t a = add(region);
  const std::uint64_t b = add(region);
  table_.complete(b, 1, {});
  table_.complete(a, 2, {StatusCode::kPeerLost, "gone"});
  ASSERT_EQ(table_.poll(std::span(out_).first(1)), 1u);
  EXPECT_EQ(out_[0].bytes, 1u);
  ASSERT_EQ(table_.poll(out_), 1u);
  EXPECT_EQ(out_[0].status.message(), "gone");
  EXPECT_EQ(table_.poll(out_), 0u);
}

TEST_F(TransferTableTest, RegionsAreHeldByTransfers) {
  const RegionId region = add_region();
  const std::uint64_t id = add(region);
  EXPECT_EQ(table_.remove_region(region).code(), StatusCode::kWouldBlock);
  table_.complete(id, 8, {});
  EXPECT_TRUE(table_.remove_region(region).ok());
  EXPECT_EQ(table_.remove_region(region).code(), StatusCode::kNotFound);
  add_region();
  add_region();
  EXPECT_EQ(table_.add_region(bytes_, Memory::kHost, nullptr).status().code(),
            StatusCode::kWouldBlock);
}

TEST_F(TransferTableTest, CompletingTwiceIsABug) {
  const RegionId region = add_region();
  const std::uint64_t id = add(region);
  table_.complete(id, 8, {});
  EXPECT_DEATH(table_.complete(id, 8, {}), "completed twice");
}

TEST(TransferQueue, IsFirstInFirstOut) {
  TransferTable table(8, 1);
  std::array<std::byte, 8> bytes{};
  const RegionId region = *table.add_region(bytes, Memory::kHost, nullptr);
  TransferQueue queue(table);
  std::vector<std::uint64_t> ids;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 2; ++i) {
      ids.push_back(
          static_cast<std::uint64_t>(*table.add(Direction::kSend, PeerId(1), {region, 0, 1})));
      queue.push(ids.back());
    }
    for (std::size_t i = ids.size() - 2; i < ids.size(); ++i) {
      ASSERT_EQ(queue.front(), ids[i]);
      queue.pop();
    }
    EXPECT_TRUE(queue.empty());
  }
}

}  // namespace
}  // namespace sluice
