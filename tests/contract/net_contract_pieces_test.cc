// Chunks that lie in pieces, for the Nets that take them as they are.
#include <algorithm>
#include <random>

#include "src/base/crc32c.h"
#include "tests/contract/net_contract.h"

namespace sluice::contract {
namespace {

constexpr std::byte kUntouched{0xc3};

// `count` pieces of `bytes` in all, of any length and alignment, with gaps between them.
struct Pieces {
  Pieces(std::size_t bytes, std::size_t count, std::uint32_t seed)
      : memory(bytes + 64 * (count + 1), kUntouched) {
    std::mt19937 random(seed);
    std::vector<std::size_t> cuts{0, bytes};
    while (cuts.size() < count + 1) cuts.push_back(bytes == 0 ? 0 : random() % bytes);
    std::ranges::sort(cuts);
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
      at += 1 + random() % 63;
      list.push_back({memory.data() + at, cuts[i + 1] - cuts[i]});
      at += list.back().bytes;
    }
  }
  void fill(const std::byte* from) {
    for (const ChunkPiece& piece : list) {
      std::copy_n(from, piece.bytes, piece.at);
      from += piece.bytes;
    }
  }
  // The memory as it is to be when `bytes` of `from` have come.
  [[nodiscard]] std::vector<std::byte> filled(const std::byte* from, std::size_t bytes) const {
    std::vector<std::byte> due(memory.size(), kUntouched);
    for (const ChunkPiece& piece : list) {
      const std::size_t part = std::min<std::size_t>(bytes, piece.bytes);
      std::copy_n(from, part, due.begin() + (piece.at - memory.data()));
      from += part;
      bytes -= part;
    }
    return due;
  }
  // Whether nothing was written but in the pieces.
  [[nodiscard]] bool gaps_untouched() const {
    std::vector<std::byte> copy = memory;
    for (const ChunkPiece& piece : list) {
      std::fill_n(copy.begin() + (piece.at - memory.data()), piece.bytes, kUntouched);
    }
    return std::ranges::all_of(copy, [](std::byte b) { return b == kUntouched; });
  }

  std::vector<std::byte> memory;
  std::vector<ChunkPiece> list;
};

class NetPieces : public NetContract {
 protected:
  void SetUp() override {
    NetContract::SetUp();
    const std::uint32_t sends = nets->sending().devices().front().most_pieces;
    most = std::min<std::size_t>(sends, nets->receiving().devices().front().most_pieces);
    ASSERT_GT(most, 1u) << "takes one piece a chunk: not of this suite";
    make_channel(sender, receiver);
  }
  template <typename Channel>
  void post_pieces(Channel& channel, std::span<const ChunkPiece> pieces) {
    PostAnswer answer = PostAnswer::kBusy;
    ASSERT_TRUE(soon([&] { return (answer = channel.post_pieces(pieces)) != PostAnswer::kBusy; }))
        << "Busy for ever";
    ASSERT_EQ(answer, PostAnswer::kPosted) << channel.failure().to_string();
  }

  // Of the chunk that both ends have just called Done.
  void expect_remainders(const std::byte* from, std::size_t bytes, const Taken& taken) {
    if (!nets->sending().devices().front().takes_remainders) return;
    const std::uint32_t due = crc32c_remainder({from, bytes});
    EXPECT_EQ(sender->remainder(), due) << bytes;
    EXPECT_EQ(taken.remainder, due) << bytes;
  }

  std::size_t most = 0;
  std::unique_ptr<SendChannel> sender;
  std::unique_ptr<RecvChannel> receiver;
};

INSTANTIATE_TEST_SUITE_P(NetsThatTakePieces, NetPieces, testing::ValuesIn(tcp_nets()), name_of);

TEST_P(NetPieces, ArriveInOrderHoweverBothEndsCutThem) {
  const std::size_t counts[] = {1, 2, 7, most - 1, most};
  std::uint32_t seed = 1;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{5000},
                                  std::size_t{70'001}, std::min(longest(), std::size_t{1} << 20)}) {
    for (const std::size_t from_count : counts) {
      for (const std::size_t into_count : counts) {
        for (const std::size_t room : {bytes, bytes + 333}) {
          Pieces from(bytes, from_count, ++seed);
          Pieces into(std::min(room, longest()), into_count, ++seed);
          auto source = nets->sending().register_memory(from.memory, Memory::kHost).take();
          auto sink = nets->receiving().register_memory(into.memory, Memory::kHost).take();
          from.fill(noise.chunk(seed));
          sender->take_remainders(seed % 3 != 0);
          receiver->take_remainders(seed % 3 != 0);
          post_pieces(*receiver, into.list);
          post_pieces(*sender, from.list);
          ASSERT_FALSE(HasFatalFailure());
          const Both both = wait(*sender, *receiver, into.memory.data(), into.memory.size());
          ASSERT_EQ(both.sent, TestAnswer::kDone);
          ASSERT_EQ(both.taken.answer, TestAnswer::kDone);
          ASSERT_EQ(both.taken.bytes, bytes);
          if (seed % 3 != 0) expect_remainders(noise.chunk(seed), bytes, both.taken);
          ASSERT_TRUE(into.memory == into.filled(noise.chunk(seed), bytes))
              << bytes << " bytes in " << from_count << " pieces into " << into_count;
        }
      }
    }
  }
}

// Pieces at one end, one piece of memory at the other.
TEST_P(NetPieces, MeetChunksInOnePiece) {
  const std::size_t bytes = std::min(longest(), std::size_t{300'001});
  Pieces many(bytes, most, 5);
  std::vector<std::byte> one(bytes);
  auto many_sent = nets->sending().register_memory(many.memory, Memory::kHost).take();
  auto many_taken = nets->receiving().register_memory(many.memory, Memory::kHost).take();
  auto one_sent = nets->sending().register_memory(one, Memory::kHost).take();
  auto one_taken = nets->receiving().register_memory(one, Memory::kHost).take();
  many.fill(noise.chunk(1));
  sender->take_remainders(true);
  receiver->take_remainders(true);
  post(*receiver, one.data(), bytes, *one_taken);
  post_pieces(*sender, many.list);
  ASSERT_FALSE(HasFatalFailure());
  const Taken first = wait(*sender, *receiver, one.data(), bytes).taken;
  EXPECT_EQ(first.bytes, bytes);
  expect_remainders(noise.chunk(1), bytes, first);
  EXPECT_TRUE(std::equal(one.begin(), one.end(), noise.chunk(1)));
  std::copy_n(noise.chunk(2), bytes, one.begin());
  post_pieces(*receiver, many.list);
  post(*sender, one.data(), bytes, *one_sent);
  ASSERT_FALSE(HasFatalFailure());
  const Taken second = wait(*sender, *receiver, many.memory.data(), many.memory.size()).taken;
  EXPECT_EQ(second.bytes, bytes);
  expect_remainders(noise.chunk(2), bytes, second);
  EXPECT_TRUE(many.memory == many.filled(noise.chunk(2), bytes));
}

// The sender gives up while chunks are on their way: each is reported, none as Done that has not
// come, and not a byte lies outside of the pieces.
TEST_P(NetPieces, FailTogetherWithTheirChannel) {
  const std::uint32_t window = std::min(most_in_flight(), 3u);
  std::vector<Pieces> from;
  std::vector<Pieces> into;
  std::vector<std::unique_ptr<NetMemory>> memory;
  for (std::uint32_t i = 0; i <= window; ++i) {  // One more than are sent.
    from.emplace_back(longest(), most, 2 * i);
    into.emplace_back(longest(), most, 2 * i + 1);
    memory.push_back(nets->sending().register_memory(from[i].memory, Memory::kHost).take());
    memory.push_back(nets->receiving().register_memory(into[i].memory, Memory::kHost).take());
  }
  for (std::uint32_t i = 0; i < window; ++i) {
    from[i].fill(noise.chunk(i));
    post_pieces(*sender, from[i].list);
    ASSERT_FALSE(HasFatalFailure());
  }
  sender->abort();
  for (std::uint32_t i = 0; i < window; ++i) wait(*sender);
  sender.reset();
  bool over = false;
  for (std::uint32_t i = 0; i <= window && !over; ++i) {
    PostAnswer answer = PostAnswer::kBusy;
    ASSERT_TRUE(
        soon([&] { return (answer = receiver->post_pieces(into[i].list)) != PostAnswer::kBusy; }));
    over = answer == PostAnswer::kFailed;
    if (over) break;
    over = wait(*receiver, into[i].memory.data(), longest()).answer == TestAnswer::kFailed;
    if (over) {
      EXPECT_TRUE(into[i].gaps_untouched()) << "chunk " << i;
    } else {
      EXPECT_TRUE(into[i].memory == into[i].filled(noise.chunk(i), longest())) << "chunk " << i;
    }
  }
  EXPECT_TRUE(over) << "more chunks came than were sent";
  receiver->abort();
}

}  // namespace
}  // namespace sluice::contract
