#include "src/engine/slice_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace sluice {
namespace {

struct Lists {
  std::vector<Slice> local;
  std::vector<RemoteSlice> remote;
};

// Slice i of 8 + i % 3 bytes, at places all over both ends; of two regions here.
Lists scattered(std::size_t count) {
  Lists lists;
  std::mt19937 random(5);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t length = 8 + i % 3;
    lists.local.push_back({RegionId(i < count / 2 ? 1 : 2), random(), length});
    lists.remote.push_back({RemoteRegionId(7), random(), length});
  }
  return lists;
}

TEST(SliceOrder, GoesThroughTheSourceAndKeepsPairsTogether) {
  for (const bool from_local : {true, false}) {
    const Lists given = scattered(200);
    std::span<const Slice> local = given.local;
    std::span<const RemoteSlice> remote = given.remote;
    SliceOrder order;
    order.sort(local, remote, from_local);
    ASSERT_EQ(local.size(), 200u);
    ASSERT_EQ(remote.size(), 200u);
    std::size_t found = 0;
    for (std::size_t i = 0; i < local.size(); ++i) {
      for (std::size_t j = 0; j < given.local.size(); ++j) {
        if (local[i].offset == given.local[j].offset && local[i].region == given.local[j].region &&
            local[i].length == given.local[j].length &&
            remote[i].offset == given.remote[j].offset) {
          ++found;
        }
      }
      if (i == 0) continue;
      const bool rises = from_local ? local[i].offset > local[i - 1].offset
                                    : remote[i].offset > remote[i - 1].offset;
      EXPECT_TRUE(rises || (from_local && i == 100)) << i;
    }
    EXPECT_EQ(found, 200u);
  }
}

// However far apart they lie; those at one place stay as they were.
TEST(SliceOrder, AnyOffsets) {
  std::mt19937_64 random(7);
  for (const int bits : {0, 1, 8, 9, 16, 33, 63, 64}) {
    for (const int shift : {0, 12}) {
      Lists given = scattered(shift == 0 ? 500 : 20);
      for (Slice& slice : given.local) {
        slice.region = RegionId(1);
        slice.offset = (bits == 0 ? 0 : random() >> (64 - bits)) << shift;
      }
      std::span<const Slice> local = given.local;
      std::span<const RemoteSlice> remote = given.remote;
      SliceOrder order;
      order.sort(local, remote, true);
      std::vector<std::size_t> places(given.local.size());
      std::iota(places.begin(), places.end(), 0);
      std::stable_sort(places.begin(), places.end(), [&](std::size_t a, std::size_t b) {
        return given.local[a].offset < given.local[b].offset;
      });
      for (std::size_t i = 0; i < places.size(); ++i) {
        ASSERT_EQ(local[i].offset, given.local[places[i]].offset);
        ASSERT_EQ(remote[i].offset, given.remote[places[i]].offset) << bits << " bits, " << i;
      }
    }
  }
}

TEST(SliceOrder, LeavesWhatMustNotOrNeedNotChange) {
  SliceOrder order;
  Lists in_order = scattered(100);
  const auto rises = [](const auto& a, const auto& b) { return a.offset < b.offset; };
  for (auto& slice : in_order.local) slice.region = RegionId(1);
  std::sort(in_order.local.begin(), in_order.local.end(), rises);
  for (auto& slice : in_order.local) slice.length = 8;
  for (auto& slice : in_order.remote) slice.length = 8;
  Lists other_shapes = scattered(100);
  other_shapes.remote.back().length += 1;
  Lists fewer = scattered(100);
  fewer.remote.pop_back();
  Lists few = scattered(3);
  Lists none;
  for (const Lists* lists : {&in_order, &other_shapes, &fewer, &few, &none}) {
    std::span<const Slice> local = lists->local;
    std::span<const RemoteSlice> remote = lists->remote;
    order.sort(local, remote, true);
    EXPECT_EQ(local.data(), lists->local.data());
    EXPECT_EQ(remote.data(), lists->remote.data());
    EXPECT_EQ(remote.size(), lists->remote.size());
  }
}

}  // namespace
}  // namespace sluice
