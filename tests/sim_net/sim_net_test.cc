#include "tests/sim_net/sim_net.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "src/gpu/host_gpu.h"

namespace sluice::sim {
namespace {

std::byte pattern(std::size_t i) { return static_cast<std::byte>(i * 31 + (i >> 8) + 7); }

// Two hosts and one channel from the first to the second.
class Pair {
 public:
  explicit Pair(const SimOptions& options)
      : world(options), left(world.add_host()), right(world.add_host()), from(kBytes), to(kBytes) {
    for (std::size_t i = 0; i < kBytes; ++i) from[i] = pattern(i);
    left_net.emplace(world, left);
    right_net.emplace(world, right);
    from_memory = left_net->register_memory(from, Memory::kHost).take();
    to_memory = right_net->register_memory(to, Memory::kHost).take();
  }

  void make_channel() {
    auto listener = right_net->listen(0, "10.0.0.2").take();
    auto connector = left_net->connect(0, listener->handle()).take();
    Status failure;
    for (int i = 0; i < 1000 && (send == nullptr || recv == nullptr); ++i) {
      if (send == nullptr) {
        ASSERT_NE(connector->connect(send, failure), MakeAnswer::kFailed) << failure.to_string();
      }
      if (recv == nullptr) {
        ASSERT_NE(listener->accept(recv, failure), MakeAnswer::kFailed) << failure.to_string();
      }
      world.run_next();
      left_net->progress();
      right_net->progress();
    }
    ASSERT_NE(send, nullptr);
    ASSERT_NE(recv, nullptr);
  }

  PostAnswer post_send(std::size_t offset, std::size_t bytes) {
    return send->post(from.data() + offset, bytes, *from_memory);
  }
  PostAnswer post_recv(std::size_t offset, std::size_t bytes) {
    return recv->post(to.data() + offset, bytes, *to_memory);
  }
  // Lets the world go on until nothing happens any more by itself.
  void settle() {
    while (world.run_next()) {
    }
  }

  static constexpr std::size_t kBytes = 1 << 20;
  SimWorld world;
  SimHost left, right;
  std::vector<std::byte> from, to;
  std::optional<SimNet> left_net, right_net;
  std::unique_ptr<NetMemory> from_memory, to_memory;
  std::unique_ptr<SendChannel> send;
  std::unique_ptr<RecvChannel> recv;
};

TEST(SimNet, BytesMoveWhenDeliveredAndNotWhenPosted) {
  SimOptions options;
  options.chunk_delay = from_ms(1);
  Pair pair(options);
  pair.make_channel();
  ASSERT_EQ(pair.post_recv(3, 1000), PostAnswer::kPosted);
  ASSERT_EQ(pair.post_send(5, 900), PostAnswer::kPosted);
  Arrival arrival;
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kPending);
  EXPECT_EQ(pair.to[3], std::byte{0});
  pair.settle();
  ASSERT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_EQ(arrival.bytes, 900u);
  EXPECT_TRUE(arrival.fragments.empty());
  EXPECT_EQ(std::memcmp(pair.to.data() + 3, pair.from.data() + 5, 900), 0);
  EXPECT_EQ(pair.to[2], std::byte{0});
  EXPECT_EQ(pair.to[903], std::byte{0});
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
  pair.recv->consume_oldest();
}

TEST(SimNet, FragmentsAreUnorderedAndTheirPagesPoisonedOnConsume) {
  SimOptions options;
  options.delivery = Delivery::kFragments;
  options.largest_chunk = 1 << 20;
  options.pool_bytes = 2 << 20;
  Pair pair(options);
  pair.make_channel();
  ASSERT_EQ(pair.post_recv(0, 1 << 20), PostAnswer::kPosted);
  ASSERT_EQ(pair.post_send(0, 1 << 20), PostAnswer::kPosted);
  pair.settle();
  Arrival arrival;
  ASSERT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_EQ(pair.to[0], std::byte{0}) << "nothing is in place before the unpack";
  ASSERT_TRUE(fragments_fit(arrival.fragments, arrival.pool.size(), 1 << 20, arrival.bytes));
  EXPECT_FALSE(std::is_sorted(arrival.fragments.begin(), arrival.fragments.end(),
                              [](const Fragment& a, const Fragment& b) {
                                return a.destination_offset < b.destination_offset;
                              }));
  HostGpu gpu;
  const Unpack unpack{arrival.fragments, arrival.pool, std::span(pair.to)};
  gpu.unpack({&unpack, 1});
  EXPECT_EQ(pair.to, pair.from);
  const std::vector<Fragment> fragments(arrival.fragments.begin(), arrival.fragments.end());
  pair.recv->consume_oldest();
  for (const Fragment& f : fragments) ASSERT_EQ(arrival.pool[f.pool_offset], kPoison);
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
}

TEST(SimNet, ReceivesStallWhileThePoolIsFullAndGoOnOnceConsumed) {
  SimOptions options;
  options.delivery = Delivery::kFragments;
  options.largest_chunk = options.pool_bytes = 64 << 10;
  Pair pair(options);
  pair.make_channel();
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(pair.post_recv(i * 65536, 65536), PostAnswer::kPosted);
    ASSERT_EQ(pair.post_send(i * 65536, 65536), PostAnswer::kPosted);
  }
  pair.settle();
  Arrival arrival;
  ASSERT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_EQ(pair.right_net->pool().free_pages(), 0u);
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kPending);
  pair.recv->consume_oldest();
  pair.settle();
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
  pair.recv->consume_oldest();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
}

TEST(SimNet, SendsAreDoneBeforeTheirReceiveUpToTheBufferedChunks) {
  SimOptions options;
  options.buffered_chunks = 2;
  Pair pair(options);
  pair.make_channel();
  for (std::size_t i = 0; i < 3; ++i) ASSERT_EQ(pair.post_send(i, 100), PostAnswer::kPosted);
  pair.settle();
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kPending);
  pair.from[0] = std::byte{99};  // Its memory may be reused.
  for (std::size_t i = 0; i < 3; ++i) ASSERT_EQ(pair.post_recv(i * 200, 100), PostAnswer::kPosted);
  pair.settle();
  Arrival arrival;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
    pair.recv->consume_oldest();
  }
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
  EXPECT_EQ(pair.to[0], pattern(0));
  EXPECT_EQ(pair.to[401], pattern(3));
}

TEST(SimNet, BusyPassesWithTime) {
  SimOptions options;
  options.busy_percent = 90;
  Pair pair(options);
  pair.make_channel();
  int busy = 0;
  PostAnswer answer = PostAnswer::kBusy;
  while ((answer = pair.post_send(0, 10)) == PostAnswer::kBusy) {
    ++busy;
    ASSERT_TRUE(pair.world.run_next()) << "a busy channel must wake the world";
  }
  EXPECT_EQ(answer, PostAnswer::kPosted);
  EXPECT_GT(busy, 0);
  pair.send->abort();
}

TEST(SimNet, AChannelFailsAtItsChunkForBothEnds) {
  SimOptions options;
  options.fail_percent = 100;
  options.fail_from = options.fail_to = 2;
  Pair pair(options);
  pair.make_channel();
  for (std::size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(pair.post_recv(i * 10, 10), PostAnswer::kPosted);
    ASSERT_EQ(pair.post_send(i * 10, 10), PostAnswer::kPosted);
  }
  pair.settle();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(pair.send->test_oldest(), i < 2 ? TestAnswer::kDone : TestAnswer::kFailed);
  }
  Arrival arrival;
  int failed = 0;
  for (int i = 0; i < 4; ++i) {
    const TestAnswer answer = pair.recv->test_oldest(arrival);
    if (answer == TestAnswer::kDone) {
      EXPECT_EQ(failed, 0);
    }
    failed += answer == TestAnswer::kFailed ? 1 : 0;
  }
  EXPECT_GE(failed, 2);
  EXPECT_EQ(pair.send->failure().code(), StatusCode::kPeerLost);
  EXPECT_EQ(pair.post_send(0, 1), PostAnswer::kFailed);
  EXPECT_EQ(pair.post_recv(0, 1), PostAnswer::kFailed);
}

TEST(SimNet, ADeadHostsMemoryIsNotTouched) {
  SimOptions options;
  options.chunk_delay = from_ms(1);
  options.buffered_chunks = 0;
  Pair pair(options);
  pair.make_channel();
  ASSERT_EQ(pair.post_send(0, 1000), PostAnswer::kPosted);
  ASSERT_EQ(pair.post_recv(0, 1000), PostAnswer::kPosted);
  pair.world.kill(pair.left);
  std::fill(pair.from.begin(), pair.from.end(), std::byte{0x55});
  pair.settle();
  Arrival arrival;
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kFailed);
  EXPECT_EQ(pair.recv->failure().code(), StatusCode::kPeerLost);
  EXPECT_EQ(std::count(pair.to.begin(), pair.to.end(), std::byte{0x55}), 0);
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kFailed);
}

TEST(SimNet, NothingMovesToAStoppedHostUntilItIsResumed) {
  Pair pair({});
  pair.make_channel();
  pair.world.stop(pair.right);
  ASSERT_EQ(pair.post_send(0, 1000), PostAnswer::kPosted);
  ASSERT_EQ(pair.post_recv(0, 1000), PostAnswer::kPosted);
  pair.settle();
  Arrival arrival;
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kPending);
  pair.world.resume(pair.right);
  pair.settle();
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
}

TEST(SimNet, ACutLinkTellsNobodyUntilItIsHealed) {
  Pair pair({});
  pair.make_channel();
  ASSERT_EQ(pair.post_recv(0, 1000), PostAnswer::kPosted);
  pair.world.cut(pair.left, pair.right);
  pair.send.reset();
  pair.settle();
  Arrival arrival;
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kPending);
  pair.world.heal(pair.left, pair.right);
  pair.settle();
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kFailed);
}

TEST(SimNet, PollOnlyMovesNothingThatIsNotTested) {
  SimOptions options;
  options.poll_only = true;
  Pair pair(options);
  pair.make_channel();
  EXPECT_EQ(pair.left_net->wake_fd(), -1);
  ASSERT_EQ(pair.post_send(0, 1000), PostAnswer::kPosted);
  ASSERT_EQ(pair.post_recv(0, 1000), PostAnswer::kPosted);
  pair.settle();
  EXPECT_EQ(pair.to[0], std::byte{0});
  Arrival arrival;
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kPending);
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kPending);
  pair.settle();
  EXPECT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
}

TEST(SimNet, ARefusedConnectFailsAndTheListenerWaitsOn) {
  SimOptions options;
  options.refuse_percent = 100;
  Pair pair(options);
  auto listener = pair.right_net->listen(0, "").take();
  auto connector = pair.left_net->connect(0, listener->handle()).take();
  pair.settle();
  pair.left_net->progress();
  pair.right_net->progress();
  std::unique_ptr<SendChannel> send;
  std::unique_ptr<RecvChannel> recv;
  Status failure;
  EXPECT_EQ(connector->connect(send, failure), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kUnavailable);
  EXPECT_EQ(listener->accept(recv, failure), MakeAnswer::kNotYet);
}

TEST(SimNet, TheSameSeedGivesTheSameRun) {
  const auto run = [](std::uint64_t seed) {
    SimOptions options = draw_options(seed);
    options.chunk_delay = from_ms(1);
    Pair pair(options);
    pair.make_channel();
    for (std::size_t done = 0, posted = 0; done < 50;) {
      if (posted < done + 1 && pair.post_send(posted, 100) == PostAnswer::kPosted) {
        while (pair.post_recv(posted * 200, 100) != PostAnswer::kPosted) pair.world.run_next();
        ++posted;
      }
      Arrival arrival;
      pair.world.run_next();
      if (posted == done) continue;
      if (pair.recv->test_oldest(arrival) != TestAnswer::kDone) {
        pair.send->abort();
        break;
      }
      pair.recv->consume_oldest();
      while (pair.send->test_oldest() == TestAnswer::kPending) pair.world.run_next();
      ++done;
    }
    pair.send->abort();
    pair.recv->abort();
    return pair.world.digest();
  };
  for (std::uint64_t seed = 1; seed < 20; ++seed) EXPECT_EQ(run(seed), run(seed)) << seed;
  EXPECT_NE(run(1), run(2));
}

class SimNetDeathTest : public testing::Test {
 protected:
  void SetUp() override { pair.make_channel(); }
  Pair pair{{}};
  Arrival arrival;
};

TEST_F(SimNetDeathTest, TestWithNothingPosted) {
  EXPECT_DEATH((void)pair.send->test_oldest(), "nothing posted");
  EXPECT_DEATH((void)pair.recv->test_oldest(arrival), "nothing posted");
}

TEST_F(SimNetDeathTest, ConsumeWithoutDone) {
  ASSERT_EQ(pair.post_recv(0, 10), PostAnswer::kPosted);
  EXPECT_DEATH(pair.recv->consume_oldest(), "consume without Done");
  pair.recv->abort();
}

TEST_F(SimNetDeathTest, DestroyWithPostedChunks) {
  ASSERT_EQ(pair.post_recv(0, 10), PostAnswer::kPosted);
  EXPECT_DEATH(pair.recv.reset(), "1 unreported chunks");
  pair.recv->abort();
  pair.recv.reset();
}

TEST_F(SimNetDeathTest, MoreThanMayBeInFlight) {
  for (std::size_t i = 0; i < 16; ++i) {
    ASSERT_EQ(pair.post_recv(i, 1), PostAnswer::kPosted);
    ASSERT_EQ(pair.post_send(i, 1), PostAnswer::kPosted);
  }
  EXPECT_DEATH((void)pair.post_send(0, 1), "16 in flight");
  pair.settle();
  // A receive is in flight until it is consumed.
  for (int i = 0; i < 16; ++i) ASSERT_EQ(pair.recv->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_DEATH((void)pair.post_recv(0, 1), "16 in flight");
  pair.recv->consume_oldest();
  EXPECT_EQ(pair.post_recv(0, 1), PostAnswer::kPosted);
  pair.recv->abort();
  pair.send->abort();
}

TEST_F(SimNetDeathTest, LongerThanTheLargestChunk) {
  EXPECT_DEATH((void)pair.post_recv(0, (4 << 20) + 1), "largest is 4194304");
}

TEST_F(SimNetDeathTest, OutsideOfTheMemory) {
  EXPECT_DEATH((void)pair.post_send(Pair::kBytes - 10, 11), "outside of the registered memory");
  EXPECT_DEATH((void)pair.send->post(pair.from.data(), 1, *pair.to_memory), "outside");
}

TEST_F(SimNetDeathTest, MemoryDeregisteredWhilePosted) {
  ASSERT_EQ(pair.post_recv(0, 10), PostAnswer::kPosted);
  EXPECT_DEATH(pair.to_memory.reset(), "1 posted chunks use it");
  pair.recv->abort();
}

TEST_F(SimNetDeathTest, SendChangedWhilePosted) {
  ASSERT_EQ(pair.post_send(0, 10), PostAnswer::kPosted);
  pair.settle();
  pair.from[9] ^= std::byte{1};
  EXPECT_DEATH((void)pair.send->test_oldest(), "was changed while posted");
  pair.from[9] ^= std::byte{1};
  EXPECT_EQ(pair.send->test_oldest(), TestAnswer::kDone);
}

TEST_F(SimNetDeathTest, AskedAgainAfterMade) {
  auto listener = pair.right_net->listen(0, "").take();
  auto connector = pair.left_net->connect(0, listener->handle()).take();
  pair.settle();
  pair.left_net->progress();
  std::unique_ptr<SendChannel> send;
  Status failure;
  ASSERT_EQ(connector->connect(send, failure), MakeAnswer::kMade);
  EXPECT_DEATH((void)connector->connect(send, failure), "asked again");
}

TEST_F(SimNetDeathTest, NetDestroyedBeforeItsParts) {
  EXPECT_DEATH(pair.left_net.reset(), "outlive their Net");
}

}  // namespace
}  // namespace sluice::sim
