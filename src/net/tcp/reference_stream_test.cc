#include "src/net/tcp/reference_stream.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <thread>

#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using testing::eventually;
using Wait = ChunkStream::Wait;

constexpr std::uint64_t kLeast = ReferenceStream::kLeastBytes;

class ReferenceStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = WakeSet::create();
    ASSERT_TRUE(made.ok());
    wake = std::make_unique<WakeSet>(made.take());
    auto [out, in] = testing::tcp_pair();
    sending_fd = out.get();
    sender = ReferenceStream::create(std::move(out), *wake).take();
    receiver = std::make_unique<RecvStream>(std::move(in));
  }
  [[nodiscard]] bool kernel_has_it_all() const {
    int unacknowledged = 1;
    return ::ioctl(sending_fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
  }
  void receive(std::vector<std::byte>& into, bool last) {
    Chunk chunk{into.data(), into.size()};
    ASSERT_EQ(receiver->move(chunk, Wait::kYes), Move::kAll) << receiver->failure().to_string();
    if (last) receiver->settle();
  }

  std::unique_ptr<WakeSet> wake;
  int sending_fd = -1;
  std::unique_ptr<ChunkStream> sender;
  std::unique_ptr<RecvStream> receiver;
};

TEST_F(ReferenceStreamTest, MemoryIsHeldUntilTheReceiverHasIt) {
  auto data = pattern(kLeast, 1);
  Chunk chunk{data.data(), data.size()};
  ASSERT_EQ(sender->move(chunk, Wait::kYes), Move::kAll) << sender->failure().to_string();
  ASSERT_TRUE(eventually([&] { return kernel_has_it_all(); }));
  EXPECT_EQ(sender->release(chunk), Release::kNotYet);
  EXPECT_FALSE(testing::readable(wake->fd(), 0));

  std::vector<std::byte> arrived(data.size());
  receive(arrived, true);
  EXPECT_EQ(arrived, data);
  ASSERT_TRUE(testing::readable(wake->fd(), 20'000)) << "a sleeping engine hears of it";
  EXPECT_EQ(sender->release(chunk), Release::kReleased);
  EXPECT_FALSE(testing::readable(wake->fd(), 0)) << "and of nothing more";
}

// What the acknowledgement is for: on one host the queue of the receiver is the sender's memory.
TEST_F(ReferenceStreamTest, TheBytesAreNotCopied) {
  auto data = pattern(1 << 20, 1);
  Chunk chunk{data.data(), data.size()};
  std::thread sending([&] { EXPECT_EQ(sender->move(chunk, Wait::kYes), Move::kAll); });
  ASSERT_TRUE(testing::readable(receiver->fd(), 20'000));
  std::fill(data.begin(), data.end(), std::byte{0x77});
  std::vector<std::byte> arrived(data.size());
  receive(arrived, true);
  sending.join();
  EXPECT_EQ(arrived, data) << "they were read when the receiver asked, not when they were sent";
}

TEST_F(ReferenceStreamTest, AllSizesAndAlignmentsArriveInOrder) {
  const std::vector<std::size_t> sizes = {0,  1,       kLeast - 1,       kLeast, kLeast + 1,
                                          17, 1 << 20, (1 << 20) + 4095, kLeast, (5 << 20) + 3,
                                          0};
  auto source = pattern(8 << 20, 5);
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    chunks.push_back({source.data() + i * 1237, sizes[i]});
  }
  std::thread sending([&] {
    for (Chunk& chunk : chunks) ASSERT_EQ(sender->move(chunk, Wait::kYes), Move::kAll);
  });
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    std::vector<std::byte> arrived(sizes[i]);
    receive(arrived, i + 1 == sizes.size());
    EXPECT_TRUE(std::equal(arrived.begin(), arrived.end(), source.begin() + long(i) * 1237)) << i;
  }
  sending.join();
  for (const Chunk& chunk : chunks) {
    EXPECT_EQ(chunk.reference != 0, chunk.bytes >= kLeast) << chunk.bytes;
    ASSERT_TRUE(eventually([&] { return sender->release(chunk) == Release::kReleased; }));
  }
}

TEST_F(ReferenceStreamTest, ALongStreamIsAcknowledgedOnTheWay) {
  auto data = pattern(kLeast, 2);
  std::vector<Chunk> chunks(8, Chunk{data.data(), data.size()});
  std::vector<std::byte> arrived(data.size());
  for (Chunk& chunk : chunks) {
    ASSERT_EQ(sender->move(chunk, Wait::kYes), Move::kAll);
    receive(arrived, false);
  }
  // Fewer than four are owed, whenever it has told of the others.
  ASSERT_TRUE(eventually([&] { return sender->release(chunks[4]) == Release::kReleased; }));
}

TEST_F(ReferenceStreamTest, AReceiverTellsWhatItHasBeforeItWaitsForMore) {
  auto data = pattern(kLeast, 2);
  Chunk first{data.data(), data.size()};
  Chunk second{data.data(), data.size()};
  std::vector<std::byte> arrived(data.size());
  std::thread receiving([&] {
    std::vector<std::byte> other(data.size());
    receive(arrived, false);
    receive(other, false);
  });
  ASSERT_EQ(sender->move(first, Wait::kYes), Move::kAll);
  EXPECT_TRUE(eventually([&] { return sender->release(first) == Release::kReleased; }));
  ASSERT_EQ(sender->move(second, Wait::kYes), Move::kAll);
  receiving.join();
}

TEST_F(ReferenceStreamTest, AChunkBegunAsACopyEndsAsOne) {
  auto data = pattern(64 << 20, 3);  // More than any socket takes.
  Chunk chunk{data.data(), data.size()};
  ASSERT_EQ(sender->move(chunk, Wait::kNo), Move::kNotYet);
  ASSERT_GT(chunk.moved, 0u);
  std::thread sending([&] { EXPECT_EQ(sender->move(chunk, Wait::kYes), Move::kAll); });
  std::vector<std::byte> arrived(data.size());
  receive(arrived, true);
  sending.join();
  EXPECT_EQ(arrived, data);
  EXPECT_EQ(chunk.reference, 0u);
}

TEST_F(ReferenceStreamTest, AReceiverThatLeavesWillNeverTell) {
  auto data = pattern(kLeast, 4);
  Chunk chunk{data.data(), data.size()};
  ASSERT_EQ(sender->move(chunk, Wait::kYes), Move::kAll);
  EXPECT_EQ(sender->release(chunk), Release::kNotYet);
  receiver.reset();
  ASSERT_TRUE(testing::readable(wake->fd(), 20'000));
  EXPECT_EQ(sender->release(chunk), Release::kFailed);
  EXPECT_FALSE(testing::readable(wake->fd(), 0)) << "an engine does not wake for it for ever";
}

TEST_F(ReferenceStreamTest, ShuttingDownStillHearsOfWhatArrived) {
  auto data = pattern(kLeast, 6);
  Chunk chunk{data.data(), data.size()};
  ASSERT_EQ(sender->move(chunk, Wait::kYes), Move::kAll);
  sender->shut_down();
  std::vector<std::byte> arrived(data.size());
  receive(arrived, true);
  ASSERT_TRUE(eventually([&] { return sender->release(chunk) == Release::kReleased; }));
}

}  // namespace
}  // namespace sluice
