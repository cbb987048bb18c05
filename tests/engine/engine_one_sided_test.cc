// write(), read() and notify() between whole engines: what arrives, where, and in which order.
#include "tests/engine/one_sided_fixture.h"

namespace sluice {
namespace {

constexpr std::size_t kGuard = 64;
const std::size_t kSizes[] = {0, 1, 4096, 16 << 10, (16 << 10) + 1, 700'001, 3 << 20};

TEST(OneSided, WritesLandWithTheirNotificationBehindThem) {
  for (const std::size_t bytes : kSizes) {
    OneSidedPair pair(bytes + 2 * kGuard);
    std::vector<std::byte> due = pair.remote;
    std::copy_n(pair.local.begin() + 3, bytes, due.begin() + kGuard);
    const auto id = pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(3, bytes)},
                                         std::vector{pair.at_b(kGuard, bytes)}, telling("landed"));
    ASSERT_TRUE(id.ok()) << id.status().to_string();
    ASSERT_TRUE(pair.drive([&] {
      if (pair.b.heard.empty() && pair.b.hear() > 0) {
        EXPECT_TRUE(same_bytes(pair.remote, due)) << bytes;
      }
      return pair.a.finished(*id) && !pair.b.heard.empty();
    })) << bytes;
    EXPECT_TRUE(pair.a.done.at(*id).status.ok()) << pair.a.done.at(*id).status.to_string();
    EXPECT_EQ(pair.a.done.at(*id).bytes, bytes);
    EXPECT_EQ(pair.b.heard, std::vector<std::string>{"landed"});
    EXPECT_TRUE(same_bytes(pair.remote, due));
    EXPECT_TRUE(pair.b.done.empty());
  }
}

TEST(OneSided, ReadsComeAndTheSourceIsTold) {
  for (const std::size_t bytes : kSizes) {
    OneSidedPair pair(bytes + 2 * kGuard);
    std::vector<std::byte> due = pair.local;
    std::copy_n(pair.remote.begin() + kGuard, bytes, due.begin() + 5);
    const auto id = pair.a.engine->read(pair.b_at_a, std::vector{pair.at_a(5, bytes)},
                                        std::vector{pair.at_b(kGuard, bytes)}, telling("read"));
    ASSERT_TRUE(id.ok()) << id.status().to_string();
    ASSERT_TRUE(pair.drive([&] {
      if (pair.b.heard.empty() && pair.b.hear() > 0) {
        EXPECT_TRUE(same_bytes(pair.local, due)) << bytes;
      }
      return pair.a.finished(*id) && !pair.b.heard.empty();
    })) << bytes;
    EXPECT_TRUE(pair.a.done.at(*id).status.ok()) << pair.a.done.at(*id).status.to_string();
    EXPECT_EQ(pair.a.done.at(*id).bytes, bytes);
    EXPECT_TRUE(same_bytes(pair.local, due));
  }
}

// A permutation of `count` places.
std::vector<std::uint64_t> places(std::size_t count, std::uint32_t seed) {
  std::vector<std::uint64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  return order;
}

struct Shape {
  std::size_t bytes;
  std::size_t local_block;
  std::size_t remote_block;
  std::size_t gap;  // Between blocks, at both ends.
};

TEST(OneSided, BlocksOfTwoShapesAreOneTransfer) {
  for (const Shape& shape : {Shape{1 << 20, 4096, 4096, 0}, Shape{1 << 20, 8192, 2048, 8},
                             Shape{3 * 70'000, 3, 70'000, 1}, Shape{9000, 9, 1000, 3},
                             Shape{2 << 20, 1 << 20, 1 << 19, 64}}) {
    Options options = loopback_options();
    options.chunk_bytes = 64 << 10;
    OneSidedPair pair(4 * shape.bytes, options);
    std::vector<Slice> here;
    std::vector<RemoteSlice> there;
    const std::size_t step_here = shape.local_block + shape.gap;
    for (const std::uint64_t i : places(shape.bytes / shape.local_block, 3)) {
      here.push_back(pair.at_a(i * step_here, shape.local_block));
    }
    const std::size_t step_there = shape.remote_block + shape.gap;
    for (const std::uint64_t i : places(shape.bytes / shape.remote_block, 4)) {
      there.push_back(pair.at_b(i * step_there, shape.remote_block));
    }
    for (const bool writes : {true, false}) {
      std::ranges::copy(random_bytes(pair.remote.size(), 8), pair.remote.begin());
      std::vector<std::byte> due_there = pair.remote;
      std::vector<std::byte> due_here = pair.local;
      for (std::size_t i = 0, piece = 0; i < shape.bytes; i += piece) {
        const std::size_t done_here = i % shape.local_block;
        const std::size_t done_there = i % shape.remote_block;
        piece = std::min(shape.local_block - done_here, shape.remote_block - done_there);
        std::byte* const at_here = &due_here[here[i / shape.local_block].offset + done_here];
        std::byte* const at_there = &due_there[there[i / shape.remote_block].offset + done_there];
        writes ? std::memcpy(at_there, at_here, piece) : std::memcpy(at_here, at_there, piece);
      }
      const Status status = writes ? pair.write(here, there) : pair.read(here, there);
      ASSERT_TRUE(status.ok()) << status.to_string();
      EXPECT_TRUE(same_bytes(pair.remote, due_there)) << shape.bytes << " writes " << writes;
      EXPECT_TRUE(same_bytes(pair.local, due_here)) << shape.bytes << " writes " << writes;
    }
  }
}

// More lists of blocks than a target keeps, some of them longer than it keeps, some cancelled.
TEST(OneSided, ListsThatComeAgainMeanTheSameBlocks) {
  constexpr std::size_t kBlock = 16;
  constexpr std::size_t kBlocks = 20'000;
  OneSidedPair pair(2 * kBlock * kBlocks);
  std::vector<std::vector<RemoteSlice>> lists;
  for (std::uint32_t i = 0; i < 24; ++i) {
    std::vector<std::uint64_t> at = places(kBlocks, i);
    at.resize(i == 0 ? kBlocks : 20 + i * i * 5);
    lists.emplace_back();
    for (const std::uint64_t place : at) {
      lists.back().push_back(pair.at_b(2 * place * kBlock, kBlock));
    }
  }
  std::mt19937 random(1);
  const auto draw = [&](std::size_t below) { return random() % below; };
  std::size_t done = 0;
  for (std::uint32_t round = 0; round < 200; ++round) {
    const std::vector<RemoteSlice>& there = lists[std::min(draw(24), draw(24))];
    const std::vector<Slice> here{pair.at_a(0, there.size() * kBlock)};
    std::ranges::copy(random_bytes(here[0].length, round), pair.local.begin());
    const auto id = pair.a.engine->write(pair.b_at_a, here, there);
    ASSERT_TRUE(id.ok());
    if (draw(4) == 0) {
      pair.pass(static_cast<int>(draw(3)));
      static_cast<void>(pair.a.engine->cancel(*id));
    }
    const Status status = pair.finish(id);
    if (status.code() == StatusCode::kCancelled) continue;
    ASSERT_TRUE(status.ok()) << status.to_string();
    for (std::size_t i = 0; i < there.size(); ++i) {
      ASSERT_EQ(std::memcmp(&pair.remote[there[i].offset], &pair.local[i * kBlock], kBlock), 0);
    }
    ++done;
  }
  EXPECT_GT(done, 100u);
}

// A Request names a list, and while its notification is still on the way its id gets another one.
TEST(OneSided, AListIsTheOneThatWasNamed) {
  constexpr std::size_t kBlock = 16;
  constexpr std::size_t kLists = 33;
  constexpr std::size_t kBlocks = 40;
  OneSidedPair pair(kLists * kBlocks * kBlock);
  const auto blocks = [&](std::size_t list) {
    std::vector<RemoteSlice> there;
    for (const std::uint64_t i : places(kBlocks, static_cast<std::uint32_t>(list))) {
      there.push_back(pair.at_b((list * kBlocks + i) * kBlock, kBlock));
    }
    return there;
  };
  const std::vector<Slice> here{pair.at_a(0, kBlocks * kBlock)};
  for (std::size_t list = 0; list < 16; ++list) {
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(pair.write(here, blocks(list)).ok());
  }
  std::ranges::copy(random_bytes(here[0].length, 9), pair.local.begin());
  const std::vector<std::byte> before = pair.remote;
  const std::string long_text(Engine::kLongestNotification, 'x');
  const auto named = pair.a.engine->write(pair.b_at_a, here, blocks(0), telling(long_text));
  pair.a.pass();
  TransferOptions urgent;
  urgent.priority = Priority::kUrgent;
  for (std::size_t list = 16; list < kLists; ++list) {
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(pair.a.engine->write(pair.b_at_a, here, blocks(list), urgent).ok());
    }
  }
  ASSERT_TRUE(pair.finish(named).ok());
  ASSERT_TRUE(pair.drive([&] { return pair.a.done.size() == 32 + 1 + 2 * (kLists - 16); }));
  std::size_t at = 0;
  for (const RemoteSlice& block : blocks(0)) {
    EXPECT_EQ(std::memcmp(&pair.remote[block.offset], &pair.local[at], kBlock), 0) << at;
    at += kBlock;
  }
  EXPECT_TRUE(std::equal(before.begin() + kBlocks * kBlock, before.begin() + 16 * kBlocks * kBlock,
                         pair.remote.begin() + kBlocks * kBlock));
}

TEST(OneSided, RegionsAndSizesMixInOneList) {
  OneSidedPair pair(200'000);
  std::vector<std::byte> second = random_bytes(50'000, 9);
  const RegionId other = pair.a.add(second);
  const std::vector<Slice> from{
      pair.at_a(7, 30'001), {other, 0, 50'000}, pair.at_a(50'000, 0), pair.at_a(60'000, 1)};
  ASSERT_TRUE(pair.write(from, {pair.at_b(100'000, 80'002)}).ok());
  EXPECT_TRUE(std::equal(pair.local.begin() + 7, pair.local.begin() + 30'008,
                         pair.remote.begin() + 100'000));
  EXPECT_TRUE(std::equal(second.begin(), second.end(), pair.remote.begin() + 130'001));
  EXPECT_EQ(pair.remote[180'001], pair.local[60'000]);
}

TEST(OneSided, ManyAtOnceInBothDirections) {
  constexpr std::size_t kEach = 40'000;
  constexpr std::size_t kCount = 200;  // More than there are slots.
  OneSidedPair pair(2 * kCount * kEach);
  const std::vector<std::byte> local = pair.local;
  const std::vector<std::byte> remote = pair.remote;
  std::vector<TransferId> ids;
  for (std::size_t i = 0; i < kCount; ++i) {
    const std::uint64_t low = i * kEach;
    const std::uint64_t high = (kCount + i) * kEach;
    const auto written =
        pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(low, kEach)},
                             std::vector{pair.at_b(low, kEach)}, telling(std::to_string(i)));
    const auto read = pair.a.engine->read(pair.b_at_a, std::vector{pair.at_a(high, kEach)},
                                          std::vector{pair.at_b(high, kEach)});
    ASSERT_TRUE(written.ok() && read.ok());
    ids.push_back(*written);
    ids.push_back(*read);
  }
  ASSERT_TRUE(pair.drive([&] {
    pair.b.hear();
    return pair.a.done.size() == ids.size() && pair.b.heard.size() == kCount;
  }));
  for (const TransferId id : ids) EXPECT_TRUE(pair.a.done.at(id).status.ok());
  EXPECT_TRUE(same_bytes(std::span(local).first(kCount * kEach),
                         std::span(pair.remote).first(kCount * kEach)));
  EXPECT_TRUE(same_bytes(std::span(remote).subspan(kCount * kEach),
                         std::span(pair.local).subspan(kCount * kEach)));
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(pair.b.heard[i], std::to_string(i));
}

TEST(OneSided, NotificationsOfAnyLengthKeepTheirOrderAndWaitForTheUser) {
  OneSidedPair pair(4096);
  std::vector<std::string> due;
  for (std::size_t i = 0; i < 150; ++i) {
    const std::size_t length = i % 50 == 49 ? Engine::kLongestNotification : i % 7 * 100;
    due.emplace_back(length, static_cast<char>('a' + i % 26));
    const auto bytes = std::as_bytes(std::span(due.back().data(), due.back().size()));
    ASSERT_TRUE(pair.a.engine->notify(pair.b_at_a, bytes).ok());
  }
  // Nobody listens: what the target holds is bounded, and all else goes on.
  ASSERT_TRUE(pair.drive([&] { return pair.a.done.size() >= 49; }));
  pair.pass(1000);
  EXPECT_LT(pair.a.done.size(), 150u);
  ASSERT_TRUE(pair.drive([&] { return pair.b.hear() == due.size() && pair.a.done.size() == 150; }));
  EXPECT_TRUE(pair.b.heard == due);
  const std::string too_long(Engine::kLongestNotification + 1, 'x');
  EXPECT_EQ(pair.write({}, {}, telling(too_long)).code(), StatusCode::kInvalidArgument);
}

TEST(OneSided, AnEngineMayBeItsOwnPeer) {
  Host self;
  const auto peer = self.engine->connect(self.engine->address());
  ASSERT_TRUE(peer.ok());
  std::vector<std::byte> from = random_bytes(300'000, 1);
  std::vector<std::byte> into(from.size());
  const RegionId source = self.add(from);
  const RegionId target = self.add(into);
  const auto exported = self.engine->export_region(target, Access::kReadWrite);
  const auto imported = self.engine->import_region(*peer, *exported);
  ASSERT_TRUE(imported.ok());
  const auto id =
      self.engine->write(*peer, std::vector{Slice{source, 0, from.size()}},
                         std::vector{RemoteSlice{*imported, 0, from.size()}}, telling("to myself"));
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(drive({&self}, [&] { return self.finished(*id) && self.hear() == 1; }));
  EXPECT_TRUE(self.done.at(*id).status.ok()) << self.done.at(*id).status.to_string();
  EXPECT_TRUE(same_bytes(from, into));
}

TEST(OneSided, MessagesGoOnBesideThem) {
  OneSidedPair pair(2 << 20);
  std::vector<std::byte> into(pair.local.size());
  const RegionId sink = pair.b.add(into);
  const auto received = pair.b.engine->recv(pair.a_at_b, {sink, 0, into.size()});
  const auto written = pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(0, 1 << 20)},
                                            std::vector{pair.at_b(0, 1 << 20)});
  const auto sent = pair.a.engine->send(pair.b_at_a, pair.at_a(0, into.size()));
  ASSERT_TRUE(pair.drive([&] {
    return pair.b.finished(*received) && pair.a.finished(*sent) && pair.a.finished(*written);
  }));
  EXPECT_TRUE(same_bytes(into, pair.local));
  EXPECT_TRUE(
      same_bytes(std::span(pair.local).first(1 << 20), std::span(pair.remote).first(1 << 20)));
}

}  // namespace
}  // namespace sluice
