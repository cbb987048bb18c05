#include "src/net/plugin/unpack_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <vector>

namespace sluice {
namespace {

using nccl_abi::kUnpackEntries;
using nccl_abi::UnpackEntry;

// What a plugin publishes, in memory that ends where it ends.
class UnpackQueueTest : public testing::Test {
 protected:
  static constexpr std::size_t kPoolBytes = 16 * 4096;

  void SetUp() override {
    // A page that cannot be read behind the pool: its end is known to the system.
    pool = static_cast<std::byte*>(::mmap(nullptr, kPoolBytes + 4096, PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_EQ(::mprotect(pool + kPoolBytes, 4096, PROT_NONE), 0);
    meta = std::make_unique<nccl_abi::UnpackMeta>();
    // What was not published is not zero.
    std::memset(static_cast<void*>(meta.get()), 0x5a, sizeof(*meta));
    unpack = {meta.get(), pool, ~0ull};
    handle = {nccl_abi::kDeviceUnpack, nccl_abi::kUnpackVersion, &unpack, sizeof(unpack), 1};
  }
  void TearDown() override { ::munmap(pool, kPoolBytes + 4096); }

  std::unique_ptr<UnpackQueue> queue() {
    auto made = UnpackQueue::create(handle, memory);
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    return made.take();
  }
  void publish(std::uint64_t k, const std::vector<UnpackEntry>& entries) {
    std::copy(entries.begin(), entries.end(), meta->entries[k % 16]);
    meta->counts[k % 16] = entries.size();
  }

  DeviceMemory memory;
  std::byte* pool = nullptr;
  std::unique_ptr<nccl_abi::UnpackMeta> meta;
  nccl_abi::UnpackDeviceHandle unpack{};
  nccl_abi::DeviceHandle handle{};
  Arrival arrival;
};

TEST_F(UnpackQueueTest, MessageKIsInSlotKModulo16) {
  auto arrivals = queue();
  publish(16 + 3, {{4096, 100, 7}, {0, 7, 0}});  // In no order, of no alignment.
  ASSERT_TRUE(arrivals->take(16 + 3, 200, arrival).ok());
  EXPECT_EQ(arrival.bytes, 107u);
  EXPECT_EQ(arrival.pool.data(), pool);
  EXPECT_EQ(arrival.pool.size(), kPoolBytes);
  ASSERT_EQ(arrival.fragments.size(), 2u);
  EXPECT_EQ(arrival.fragments[0].pool_offset, 4096u);
  EXPECT_EQ(arrival.fragments[0].length, 100u);
  EXPECT_EQ(arrival.fragments[0].destination_offset, 7u);
}

TEST_F(UnpackQueueTest, ANothingIsAMessageToo) {
  auto arrivals = queue();
  publish(0, {});
  ASSERT_TRUE(arrivals->take(0, 0, arrival).ok());
  EXPECT_EQ(arrival.bytes, 0u);
  EXPECT_TRUE(arrival.fragments.empty());
}

TEST_F(UnpackQueueTest, AFullSlotIsTakenAndOneMoreIsNot) {
  auto arrivals = queue();
  std::vector<UnpackEntry> entries;
  for (std::uint64_t i = 0; i < kUnpackEntries; ++i) {
    entries.push_back({static_cast<std::uint32_t>(i), 1, i});
  }
  publish(15, entries);
  ASSERT_TRUE(arrivals->take(15, kUnpackEntries, arrival).ok());
  EXPECT_EQ(arrival.fragments.size(), kUnpackEntries);
  meta->counts[15] = kUnpackEntries + 1;
  EXPECT_EQ(arrivals->take(15, 1 << 20, arrival).code(), StatusCode::kProtocol);
}

TEST_F(UnpackQueueTest, FragmentsOfOtherMessagesStayValid) {
  auto arrivals = queue();
  publish(0, {{1, 2, 0}});
  publish(1, {{3, 4, 0}});
  Arrival other;
  ASSERT_TRUE(arrivals->take(0, 10, arrival).ok());
  ASSERT_TRUE(arrivals->take(1, 10, other).ok());
  EXPECT_EQ(arrival.fragments[0].pool_offset, 1u);
  EXPECT_EQ(other.fragments[0].pool_offset, 3u);
}

TEST_F(UnpackQueueTest, WhatLiesOutsideOfThePoolIsRefused) {
  auto arrivals = queue();
  publish(0, {{kPoolBytes - 4, 4, 0}});
  EXPECT_TRUE(arrivals->take(0, 10, arrival).ok());
  for (const UnpackEntry& entry : {UnpackEntry{kPoolBytes - 3, 4, 0}, UnpackEntry{0, UINT32_MAX, 0},
                                   UnpackEntry{UINT32_MAX, 1, 0}}) {
    publish(0, {entry});
    EXPECT_EQ(arrivals->take(0, 1ul << 40, arrival).code(), StatusCode::kProtocol)
        << entry.source_offset;
  }
}

TEST_F(UnpackQueueTest, WhatLiesOutsideOfTheMessageIsRefused) {
  auto arrivals = queue();
  for (const std::uint64_t offset : {1ul, 100ul, UINT64_MAX, UINT64_MAX - 9}) {
    publish(0, {{0, 10, offset}});
    EXPECT_EQ(arrivals->take(0, 1000, arrival).code(), StatusCode::kProtocol) << offset;
  }
}

TEST_F(UnpackQueueTest, AMessageLongerThanItsRoomSaysBoth) {
  auto arrivals = queue();
  publish(0, {{0, 4096, 0}, {4096, 4096, 4096}});
  const Status status = arrivals->take(0, 8191, arrival);
  EXPECT_EQ(status.code(), StatusCode::kTooLong);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("8192"));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("8191"));
}

TEST_F(UnpackQueueTest, HandlesThatLeadNowhereAreRefused) {
  const auto refused = [&](auto change) {
    auto changed = handle;
    auto changed_unpack = unpack;
    changed.handle = &changed_unpack;
    change(changed, changed_unpack);
    return !UnpackQueue::create(changed, memory).ok();
  };
  using Handle = nccl_abi::DeviceHandle;
  using Unpack = nccl_abi::UnpackDeviceHandle;
  EXPECT_FALSE(refused([](Handle&, Unpack&) {}));
  EXPECT_TRUE(refused([](Handle& h, Unpack&) { h = {}; })) << "the plugin wrote nothing";
  EXPECT_TRUE(refused([](Handle& h, Unpack&) { h.type = nccl_abi::kDeviceHost; }));
  EXPECT_TRUE(refused([](Handle& h, Unpack&) { h.version = 8; }));
  EXPECT_TRUE(refused([](Handle& h, Unpack&) { h.size = 16; }));
  EXPECT_TRUE(refused([](Handle& h, Unpack&) { h.handle = reinterpret_cast<void*>(16); }));
  EXPECT_TRUE(refused([](Handle&, Unpack& u) { u.meta = nullptr; }));
  EXPECT_TRUE(refused([](Handle&, Unpack& u) { u.bounce_pool = nullptr; }));
}

}  // namespace
}  // namespace sluice
