// Who goes first among one-sided transfers with one peer, and that nobody waits for ever.
#include <gtest/gtest.h>

#include "tests/engine/one_sided_fixture.h"

namespace sluice {
namespace {

constexpr std::uint64_t kLong = 16 << 20;
constexpr std::uint64_t kShort = 1 << 20;

// Windows hold a small part of a long transfer; one channel, for what another one carries may pass
// by what waits for a thread that has no core.
Options short_chunks() {
  Options options = loopback_options();
  options.chunk_bytes = 64 << 10;
  options.channels = 1;
  return options;
}

TransferOptions urgent(TransferOptions options = {}) {
  options.priority = Priority::kUrgent;
  return options;
}

// A transfer of two turns, and right behind it a short one.
struct LongAndShort : OneSidedPair {
  LongAndShort() : OneSidedPair(kLong + kShort, short_chunks()) {}

  Result<TransferId> ask(bool writes, std::uint64_t offset, std::uint64_t length,
                         const TransferOptions& options) {
    const std::vector<Slice> here{at_a(offset, length)};
    const std::vector<RemoteSlice> there{at_b(offset, length)};
    return writes ? a.engine->write(b_at_a, here, there, options)
                  : a.engine->read(b_at_a, here, there, options);
  }
  // True: the second is complete while the first is not.
  bool overtakes(bool writes, const TransferOptions& options) {
    const auto slow = ask(writes, 0, kLong, {});
    const auto fast = ask(writes, kLong, kShort, options);
    EXPECT_TRUE(drive([&] { return a.finished(*fast); }));
    const bool overtook = !a.finished(*slow);
    EXPECT_TRUE(drive([&] { return a.finished(*slow); }));
    EXPECT_TRUE(a.done.at(*slow).status.ok() && a.done.at(*fast).status.ok());
    EXPECT_TRUE(same_bytes(local, remote));
    return overtook;
  }
};

TEST(Priority, ShortTransfersDoNotWaitForTheEndOfLongOnes) {
  for (const bool writes : {true, false}) {
    EXPECT_TRUE(LongAndShort().overtakes(writes, {}));
    EXPECT_TRUE(LongAndShort().overtakes(writes, urgent()));
  }
}

TEST(Priority, UrgentOnesGoFirstAndThenTheOthersInTurn) {
  constexpr std::uint64_t kEach = 1 << 20;
  constexpr std::size_t kCount = 12;
  OneSidedPair pair(kCount * kEach, short_chunks());
  std::vector<TransferId> ids;
  for (std::size_t i = 0; i < kCount; ++i) {
    const std::vector<Slice> here{pair.at_a(i * kEach, kEach)};
    const std::vector<RemoteSlice> there{pair.at_b(i * kEach, kEach)};
    const bool first = i >= kCount / 2;
    ids.push_back(
        *pair.a.engine->read(pair.b_at_a, here, there, first ? urgent() : TransferOptions()));
  }
  const auto done = [&](std::size_t from, std::size_t to) {
    return std::ranges::all_of(std::span(ids).subspan(from, to - from),
                               [&](TransferId id) { return pair.a.finished(id); });
  };
  ASSERT_TRUE(pair.drive([&] { return done(kCount / 2, kCount); }));
  EXPECT_FALSE(done(0, kCount / 2));
  ASSERT_TRUE(pair.drive([&] { return done(0, kCount / 2); }));
  EXPECT_TRUE(same_bytes(pair.local, pair.remote));
}

TEST(Priority, NotificationsOfUrgentOnesDoNotWaitForTheOthers) {
  OneSidedPair pair(kLong + kShort, short_chunks());
  const auto slow = pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(0, kLong)},
                                         std::vector{pair.at_b(0, kLong)}, telling("slow"));
  const auto fast =
      pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(kLong, kShort)},
                           std::vector{pair.at_b(kLong, kShort)}, urgent(telling("fast")));
  ASSERT_TRUE(slow.ok() && fast.ok());
  ASSERT_TRUE(pair.drive([&] { return pair.b.hear() == 2; }));
  EXPECT_EQ(pair.b.heard, (std::vector<std::string>{"fast", "slow"}));
}

// The target's user takes no notification: all that others may have is taken.
TEST(Priority, SomeSlotsAndSomeOfTheTargetsMemoryAreKeptForUrgentOnes) {
  for (const std::size_t bytes : {std::size_t{0}, Engine::kLongestNotification}) {
    const std::size_t most = bytes == 0 ? 56 : 7;  // Of 64 slots, and of 8 MiB.
    OneSidedPair pair(4096);
    const std::string text(bytes, 'x');
    const auto notification = std::as_bytes(std::span(text.data(), text.size()));
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(pair.a.engine->notify(pair.b_at_a, notification).ok());
    }
    ASSERT_TRUE(pair.drive([&] { return pair.a.done.size() == most; }));
    pair.pass(200);
    EXPECT_EQ(pair.a.done.size(), most);
    EXPECT_TRUE(pair.write({pair.at_a(0, 4096)}, {pair.at_b(0, 4096)}, urgent()).ok());
    EXPECT_EQ(pair.a.done.size(), most + 1);
    ASSERT_TRUE(pair.drive([&] { return pair.b.hear() == 100 && pair.a.done.size() == 101; }));
  }
}

// Its list and notification are more than what others leave to urgent ones, and those never end.
TEST(Priority, ALongRequestDoesNotWaitForEverBesideUrgentOnes) {
  Options options = short_chunks();
  options.request_bytes = 2 << 20;
  constexpr std::size_t kBlocks = 280'000;
  OneSidedPair pair(kBlocks, options);
  std::vector<Slice> here;
  std::vector<RemoteSlice> there;
  for (std::size_t i = 0; i < kBlocks; i += 2) {  // Two lengths: 14 bytes of list for each block.
    const std::size_t length = 1 + i / 2 % 2;
    here.push_back(pair.at_a(i, length));
    there.push_back(pair.at_b(i, length));
  }
  const auto slow = pair.a.engine->write(pair.b_at_a, here, there);
  ASSERT_TRUE(slow.ok());
  ASSERT_TRUE(pair.drive([&] {
    static_cast<void>(pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(0, 1)},
                                           std::vector{pair.at_b(0, 1)}, urgent()));
    return pair.a.finished(*slow);
  }));
  EXPECT_TRUE(pair.a.done.at(*slow).status.ok()) << pair.a.done.at(*slow).status.to_string();
}

TEST(Priority, DeadlinesAndCancelsReachUrgentOnesThatWait) {
  constexpr std::uint64_t kBytes = 64 << 10;  // Not in the Request.
  OneSidedPair pair(kBytes);
  std::vector<TransferId> waiting;
  const auto ask = [&](TransferOptions options) {
    const auto id = pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(0, kBytes)},
                                         std::vector{pair.at_b(0, kBytes)}, urgent(options));
    waiting.push_back(*id);
  };
  TransferOptions late;
  late.deadline = std::chrono::milliseconds(5);
  for (std::size_t i = 0; i < 100; ++i) ask(i % 2 == 0 ? late : TransferOptions());
  for (std::size_t i = 1; i < 100; i += 2) ASSERT_TRUE(pair.a.engine->cancel(waiting[i]).ok());
  // The target is not driven at all.
  ASSERT_TRUE(drive({&pair.a}, [&] { return pair.a.done.size() == 100; }));
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(pair.a.done.at(waiting[i]).status.code(),
              i % 2 == 0 ? StatusCode::kTimedOut : StatusCode::kCancelled);
  }
  EXPECT_TRUE(pair.write({pair.at_a(0, kBytes)}, {pair.at_b(0, kBytes)}, urgent()).ok());
}

TEST(Priority, UrgentMessagesGoFirstAndMeetTheirReceives) {
  for (const Priority priority : {Priority::kNormal, Priority::kUrgent}) {
    OneSidedPair pair(2 * kLong, short_chunks());
    const auto slow_recv = pair.b.engine->recv(pair.a_at_b, {pair.remote_region, 0, kLong});
    const auto fast_recv = pair.b.engine->recv(pair.a_at_b, {pair.remote_region, kLong, kLong});
    const auto slow = pair.a.engine->send(pair.b_at_a, pair.at_a(0, kLong));
    const auto fast = pair.a.engine->send(pair.b_at_a, pair.at_a(kLong, kLong), priority);
    ASSERT_TRUE(slow_recv.ok() && fast_recv.ok() && slow.ok() && fast.ok());
    // Both take turns, and then the one that began first is first.
    const auto first = priority == Priority::kUrgent ? *fast_recv : *slow_recv;
    const auto second = priority == Priority::kUrgent ? *slow_recv : *fast_recv;
    ASSERT_TRUE(pair.drive([&] { return pair.b.finished(first); }));
    EXPECT_FALSE(pair.b.finished(second));
    ASSERT_TRUE(pair.drive([&] { return pair.b.finished(second); }));
    EXPECT_TRUE(pair.local == pair.remote);
  }
}

// Reads the same bytes of the same engine again and again.
struct Reader : Host {
  Reader(OneSidedPair& pair, std::uint64_t bytes) : Host(short_chunks()), memory(bytes) {
    peer = engine->connect(pair.b.engine->address()).take();
    EXPECT_TRUE(drive({&pair.b, this}, [&] { return event(PeerEventKind::kConnected); }));
    const auto exported = pair.b.engine->export_region(pair.remote_region, Access::kReadWrite);
    from = engine->import_region(peer, *exported).take();
    into = add(memory);
  }
  ~Reader() { engine.reset(); }  // Before its memory.
  void keep_asked(std::size_t most) {
    for (; asked < done.size() + most; ++asked) {
      EXPECT_TRUE(engine
                      ->read(peer, std::vector{Slice{into, 0, memory.size()}},
                             std::vector{RemoteSlice{from, 0, memory.size()}})
                      .ok());
    }
  }

  std::vector<std::byte> memory;
  PeerId peer{};
  RemoteRegionId from{};
  RegionId into{};
  std::size_t asked = 0;
};

// One always has more waiting than the target has places; the other asks for one at a time.
TEST(Fairness, APeerThatAsksForMuchLeavesPlacesToTheOthers) {
  constexpr std::uint64_t kBytes = 64 << 10;  // Not in an Answer: it needs a place.
  Options few = short_chunks();
  few.max_transfers = 8;
  OneSidedPair pair(kBytes, few);
  Reader greedy(pair, kBytes);
  Reader modest(pair, kBytes);
  ASSERT_TRUE(drive({&greedy, &pair.b, &modest}, [&] {
    greedy.keep_asked(64);
    modest.keep_asked(1);
    return greedy.done.size() >= 600;
  }));
  EXPECT_GE(modest.done.size(), 20u);
}

// A peer's share of the places is taken by its own long reads; others have none, one that is told
// and not heard, or one that is read by.
TEST(Fairness, AnUrgentOneFindsThePlaceThatIsKept) {
  constexpr std::uint64_t kEach = 8 << 20;
  enum class Other { kNone, kTells, kReads };
  for (const Other does : {Other::kNone, Other::kTells, Other::kReads}) {
    Options few = short_chunks();
    few.max_transfers = 16;
    OneSidedPair pair(kEach, few);
    Reader reader(pair, kEach);
    Reader other(pair, kEach);
    if (does == Other::kTells) {
      ASSERT_TRUE(other.engine->notify(other.peer, {}).ok());
      ASSERT_TRUE(drive({&pair.b, &other}, [&] { return !other.done.empty(); }));
    }
    if (does == Other::kReads) other.keep_asked(8);
    reader.keep_asked(14);
    for (int i = 0; i < 50; ++i) reader.pass(), other.pass(), pair.b.pass();
    const auto fast =
        reader.engine->read(reader.peer, std::vector{Slice{reader.into, 0, 64 << 10}},
                            std::vector{RemoteSlice{reader.from, 0, 64 << 10}}, urgent());
    ASSERT_TRUE(fast.ok());
    const std::size_t before = reader.done.size();
    ASSERT_TRUE(drive({&pair.b, &reader, &other}, [&] { return reader.finished(*fast); }));
    EXPECT_LE(reader.done.size() - 1 - before, 2u) << static_cast<int>(does);
    ASSERT_TRUE(drive({&pair.b, &reader, &other}, [&] {
      return reader.done.size() == 15 && other.done.size() >= other.asked;
    }));
  }
}

TEST(Fairness, APeerThatTellsMuchIsNotTheOnlyOneHeard) {
  OneSidedPair pair(4096, short_chunks());
  Reader greedy(pair, 4096);
  Reader modest(pair, 4096);
  std::size_t told = 0;
  std::size_t heard_of_modest = 0;
  ASSERT_TRUE(drive({&greedy, &pair.b, &modest}, [&] {
    for (; told < greedy.done.size() + 64; ++told) {
      EXPECT_TRUE(greedy.engine->notify(greedy.peer, {}).ok());
    }
    if (modest.asked == modest.done.size()) {
      ++modest.asked;
      const auto name = std::as_bytes(std::span("modest", 6));
      EXPECT_TRUE(modest.engine->notify(modest.peer, name).ok());
    }
    std::array<Notification, 1> one;
    if (pair.b.engine->poll_notifications(one) == 1) heard_of_modest += !one[0].bytes.empty();
    return greedy.done.size() >= 300;
  }));
  EXPECT_GE(heard_of_modest, 20u);
}

}  // namespace
}  // namespace sluice
