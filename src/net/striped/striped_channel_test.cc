// Both ends of striped channels over socket pairs, and each end against raw sockets that a test
// holds: slow, hostile, dead.
#include "src/net/striped/striped_channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <random>

#include "src/net/striped/striped_receiver.h"
#include "src/net/striped/striped_sender.h"
#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using testing::eventually;

using Bytes = std::vector<std::byte>;

StripedOptions options_for(const char* name) {
  StripedOptions options;
  options.name = name;
  options.thread_name = name;
  return options;
}

class StripedChannelTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  std::unique_ptr<StripedChannel> sender;
  std::unique_ptr<StripedChannel> receiver;
  std::vector<Fd> here;   // The receiving ends,
  std::vector<Fd> there;  // and the sending ones, until an end takes them.

  void make_sockets(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      auto [a, b] = testing::tcp_pair();
      here.push_back(std::move(a));
      there.push_back(std::move(b));
    }
  }
  // So that the system cannot hold a large message that nobody reads.
  void keep_little_in_sockets() {
    const int bytes = 64 << 10;
    for (const Fd& socket : here) {
      ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    }
    for (const Fd& socket : there) {
      ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
    }
  }
  void make_sender() {
    sender = StripedSender::create(std::move(there), options_for("test-s")).take();
  }
  void make_receiver() {
    receiver = StripedReceiver::create(std::move(here), options_for("test-r")).take();
  }
  void make_both(std::size_t count) {
    make_sockets(count);
    make_sender();
    make_receiver();
  }

  // Before the memory of what is under way goes.
  void close() {
    sender.reset();
    receiver.reset();
  }

  static std::uint32_t post(StripedChannel& channel, Bytes& bytes) {
    std::uint32_t place = 99;
    EXPECT_EQ(channel.post(bytes.data(), bytes.size(), place), PostAnswer::kPosted);
    return place;
  }
  static TestAnswer finish(StripedChannel& channel, std::uint32_t place, std::uint64_t& bytes) {
    TestAnswer answer = TestAnswer::kPending;
    EXPECT_TRUE(
        eventually([&] { return (answer = channel.test(place, bytes)) != TestAnswer::kPending; }));
    return answer;
  }
  void expect_done(StripedChannel& channel, std::uint32_t place, std::uint64_t bytes) {
    std::uint64_t moved = ~0ull;
    ASSERT_EQ(finish(channel, place, moved), TestAnswer::kDone) << channel.failure().to_string();
    EXPECT_EQ(moved, bytes);
  }
  void expect_failed(StripedChannel& channel, std::uint32_t place, StatusCode code) {
    std::uint64_t moved = 0;
    ASSERT_EQ(finish(channel, place, moved), TestAnswer::kFailed);
    EXPECT_EQ(channel.failure().code(), code) << channel.failure().to_string();
  }
  static void say(const Fd& socket, std::span<const std::byte> bytes) {
    ASSERT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  static void say(const Fd& socket, const ChunkHeader& header) {
    std::array<std::byte, kChunkHeaderBytes> bytes;
    encode_chunk_header(header, bytes);
    say(socket, bytes);
  }
};

TEST_P(StripedChannelTest, EverySizeArrivesInOrderWithItsSize) {
  make_both(GetParam());
  const std::size_t sizes[] = {0,
                               1,
                               15,
                               16,
                               17,
                               4095,
                               4096,
                               4097,
                               128 << 10,
                               (128 << 10) + 1,
                               512 << 10,
                               1 << 20,
                               (4 << 20) - 1,
                               4 << 20,
                               0};
  std::uint64_t seed = 0;
  for (const std::size_t size : sizes) {
    SCOPED_TRACE(size);
    Bytes from = pattern(size, ++seed);
    Bytes into(size + 100, std::byte{0x5a});  // Larger than the message.
    const std::uint32_t receive = post(*receiver, into);
    const std::uint32_t send = post(*sender, from);
    expect_done(*sender, send, size);
    expect_done(*receiver, receive, size);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), into.begin()));
    EXPECT_EQ(
        std::count(into.begin() + static_cast<std::ptrdiff_t>(size), into.end(), std::byte{0x5a}),
        100);
  }
}

TEST_P(StripedChannelTest, AFullWindowOfMixedSizesAgainAndAgain) {
  make_both(GetParam());
  std::mt19937 random(5);
  struct Under {
    Bytes from, into;
    std::uint32_t send, receive;
  };
  std::deque<Under> under;
  std::uint64_t posted = 0;
  std::uint64_t through = 0;
  while (through < 400) {
    while (posted < 400 && under.size() < StripedChannel::kMostInFlight) {
      const std::size_t size = random() % 4 == 0 ? random() % 700'000 : random() % 3'000;
      under.push_back({pattern(size, posted), Bytes(size), 0, 0});
      // Now the one end is ahead, now the other.
      if (posted % 3 == 0) under.back().send = post(*sender, under.back().from);
      under.back().receive = post(*receiver, under.back().into);
      if (posted % 3 != 0) under.back().send = post(*sender, under.back().from);
      ++posted;
    }
    Under& oldest = under.front();
    expect_done(*sender, oldest.send, oldest.from.size());
    expect_done(*receiver, oldest.receive, oldest.from.size());
    ASSERT_TRUE(same_bytes(oldest.from, oldest.into)) << "message " << through;
    under.pop_front();
    ++through;
  }
}

TEST_P(StripedChannelTest, TheThirtyThirdIsBusyAndAnyOrderOfTestingServes) {
  make_both(GetParam());
  std::vector<Bytes> from;
  std::vector<Bytes> into(32, Bytes(3000));
  std::vector<std::uint32_t> sends;
  std::vector<std::uint32_t> receives;
  for (std::size_t i = 0; i < 32; ++i) {
    from.push_back(pattern(3000, i));
    receives.push_back(post(*receiver, into[i]));
    sends.push_back(post(*sender, from[i]));
  }
  std::uint32_t place = 0;
  EXPECT_EQ(sender->post(from[0].data(), 1, place), PostAnswer::kBusy);
  EXPECT_EQ(receiver->post(into[0].data(), 1, place), PostAnswer::kBusy);
  for (std::size_t i = 32; i-- > 0;) {
    expect_done(*receiver, receives[i], 3000);
    expect_done(*sender, sends[i], 3000);
  }
  EXPECT_EQ(from, into);
  EXPECT_EQ(post(*sender, from[0]), 0u);
  close();
}

TEST_P(StripedChannelTest, ASenderMayPostCompleteAndCloseBeforeAnyReceiveIsPosted) {
  make_both(GetParam());
  Bytes first = pattern(5000, 1);
  Bytes second = pattern(0, 2);
  expect_done(*sender, post(*sender, first), 5000);
  expect_done(*sender, post(*sender, second), 0);
  sender.reset();
  Bytes into(5000);
  Bytes nothing;
  expect_done(*receiver, post(*receiver, into), 5000);
  EXPECT_EQ(into, first);
  expect_done(*receiver, post(*receiver, nothing), 0);
  expect_failed(*receiver, post(*receiver, into), StatusCode::kPeerLost);
}

TEST_P(StripedChannelTest, ALongerMessageThanItsReceiveFails) {
  make_both(GetParam());
  Bytes from = pattern(300'001, 1);
  Bytes into(300'000);
  post(*sender, from);
  expect_failed(*receiver, post(*receiver, into), StatusCode::kTooLong);
  close();
}

TEST_P(StripedChannelTest, EitherEndMayGoWithMessagesUnderWay) {
  for (const bool sender_first : {true, false}) {
    make_sockets(GetParam());
    keep_little_in_sockets();
    make_sender();
    make_receiver();
    Bytes from = pattern(8 << 20, 1);
    Bytes into(8 << 20);
    const std::uint32_t send = post(*sender, from);
    if (sender_first) {
      sender.reset();  // Most of it cannot have left: nobody reads.
      expect_failed(*receiver, post(*receiver, into), StatusCode::kPeerLost);
    } else {
      receiver.reset();
      std::uint64_t moved = 0;
      EXPECT_EQ(finish(*sender, send, moved), TestAnswer::kFailed);
      EXPECT_FALSE(sender->failure().ok());
    }
    close();
  }
}

TEST_P(StripedChannelTest, APostedReceiveFailsWhenThePeerIsGone) {
  make_both(GetParam());
  Bytes small(1000);
  Bytes large(1 << 20);
  const std::uint32_t first = post(*receiver, small);   // The data thread's,
  const std::uint32_t second = post(*receiver, large);  // and the helpers'.
  sender.reset();
  expect_failed(*receiver, first, StatusCode::kPeerLost);
  expect_failed(*receiver, second, StatusCode::kPeerLost);
  close();
}

TEST_P(StripedChannelTest, WithdrawingOtherMemoryHarmsNothing) {
  make_both(GetParam());
  Bytes into(100);
  Bytes other(100);
  Bytes from = pattern(100, 1);
  const std::uint32_t receive = post(*receiver, into);
  receiver->withdraw(other);
  sender->withdraw(from);
  post(*sender, from);
  expect_done(*receiver, receive, 100);
  receiver->withdraw(into);
  EXPECT_TRUE(receiver->failure().ok());
}

INSTANTIATE_TEST_SUITE_P(Sockets, StripedChannelTest, ::testing::Values(1, 2, 4));

class StripedSenderTest : public StripedChannelTest {};

// The test reads only one of two sockets: the other holds back what the kernel buffers and one
// chunk, all the rest takes the free one.
TEST_F(StripedSenderTest, ASlowSocketHoldsNoMoreThanAChunkBack) {
  make_sockets(2);
  make_sender();
  const std::size_t size = 4 << 20;
  Bytes from = pattern(size, 1);
  for (int i = 0; i < 32; ++i) post(*sender, from);
  std::uint64_t arrived = 0;
  Bytes sink(1 << 20);
  while (arrived < 24 * size) {  // A fixed share of each message would end at 16.
    ASSERT_TRUE(testing::readable(here[1].get(), 20'000)) << arrived;
    const ssize_t got = ::recv(here[1].get(), sink.data(), sink.size(), 0);
    ASSERT_GT(got, 0);
    arrived += static_cast<std::uint64_t>(got);
  }
  close();
}

class StripedReceiverTest : public StripedChannelTest {};

TEST_F(StripedReceiverTest, ChunksMayComeInAnyOrderOverAnySocket) {
  make_sockets(2);
  make_receiver();
  Bytes into(10);
  Bytes empty;
  const std::uint32_t first = post(*receiver, into);
  const std::uint32_t second = post(*receiver, empty);
  const Bytes from = pattern(10, 1);
  say(there[1], {.length = 0, .message = 1, .offset = 0, .total = 0});
  say(there[0], {.length = 4, .message = 0, .offset = 6, .total = 10});
  say(there[0], std::span(from).subspan(6, 4));
  expect_done(*receiver, second, 0);
  say(there[1], {.length = 6, .message = 0, .offset = 0, .total = 10});
  say(there[1], std::span(from).first(6));
  expect_done(*receiver, first, 10);
  EXPECT_EQ(into, from);
}

TEST_F(StripedReceiverTest, OneSocketMayEndWhileTheOthersGoOn) {
  make_sockets(2);
  make_receiver();
  there[0].reset();
  Bytes into(10);
  const std::uint32_t receive = post(*receiver, into);
  const Bytes from = pattern(10, 1);
  say(there[1], {.length = 10, .message = 0, .offset = 0, .total = 10});
  say(there[1], from);
  expect_done(*receiver, receive, 10);
}

TEST_F(StripedReceiverTest, HostileChunksFailTheChannelAndWriteNothing) {
  const std::vector<std::vector<ChunkHeader>> scripts = {
      // Too much of a message, another size of it, one that is longer than its receive.
      {{.length = 6, .message = 0, .offset = 0, .total = 10},
       {.length = 6, .message = 0, .offset = 0, .total = 10}},
      {{.length = 6, .message = 0, .offset = 0, .total = 10},
       {.length = 2, .message = 0, .offset = 6, .total = 9}},
      {{.length = 1, .message = 0, .offset = 0, .total = 11}},
      {{.length = 1, .message = 0, .offset = 0, .total = ~0ull}},
      // A message that is complete, and one outside itself.
      {{.length = 10, .message = 0, .offset = 0, .total = 10},
       {.length = 10, .message = 0, .offset = 0, .total = 10}},
      {{.length = 11, .message = 0, .offset = 0, .total = 10}},
  };
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    SCOPED_TRACE(i);
    here.clear();
    there.clear();
    make_sockets(1);
    make_receiver();
    Bytes room(30, std::byte{7});
    Bytes other(30, std::byte{7});
    std::uint32_t place = 0;
    ASSERT_EQ(receiver->post(room.data() + 10, 10, place), PostAnswer::kPosted);
    const std::uint32_t last = post(*receiver, other);
    for (const ChunkHeader& header : scripts[i]) {
      say(there[0], header);
      if (header.length <= 10) say(there[0], Bytes(header.length, std::byte{1}));
    }
    std::uint64_t bytes = 0;
    EXPECT_EQ(finish(*receiver, last, bytes), TestAnswer::kFailed);
    EXPECT_EQ(std::count(room.begin(), room.begin() + 10, std::byte{7}), 10);
    EXPECT_EQ(std::count(room.begin() + 20, room.end(), std::byte{7}), 10);
    EXPECT_EQ(std::count(other.begin(), other.end(), std::byte{7}), 30);
    close();
  }
}

// The helper waits in the socket for the rest of a chunk when its memory goes.
TEST_F(StripedReceiverTest, WithdrawnMemoryIsNotWrittenAgain) {
  make_sockets(2);
  make_receiver();
  Bytes into(1 << 20);
  const std::uint32_t receive = post(*receiver, into);
  const Bytes half(into.size() / 2, std::byte{1});
  say(there[0], {.length = 1 << 20, .message = 0, .offset = 0, .total = 1 << 20});
  say(there[0], half);
  receiver->withdraw(std::span(into).last(1));
  std::fill(into.begin(), into.end(), std::byte{0});
  std::uint64_t moved = 0;
  EXPECT_EQ(receiver->test(receive, moved), TestAnswer::kFailed);
  EXPECT_EQ(receiver->failure().code(), StatusCode::kClosed);
  ::send(there[0].get(), half.data(), half.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  EXPECT_EQ(std::count(into.begin(), into.end(), std::byte{0}), 1 << 20);
  close();
}

TEST_F(StripedReceiverTest, AnythingButAHeaderFailsTheChannel) {
  make_sockets(1);
  make_receiver();
  Bytes into(10);
  const std::uint32_t receive = post(*receiver, into);
  say(there[0], Bytes(kChunkHeaderBytes, std::byte{0xee}));
  expect_failed(*receiver, receive, StatusCode::kProtocol);
  close();
}

TEST_F(StripedReceiverTest, AnEndInTheMiddleOfAChunkIsALostPeer) {
  for (const std::size_t said : {std::size_t{3}, kChunkHeaderBytes - 1}) {
    here.clear();
    there.clear();
    make_sockets(2);
    make_receiver();
    Bytes into(10);
    const std::uint32_t receive = post(*receiver, into);
    std::array<std::byte, kChunkHeaderBytes> header;
    encode_chunk_header({.length = 10, .message = 0, .offset = 0, .total = 10}, header);
    say(there[0], std::span(header).first(said));
    there[0].reset();
    expect_failed(*receiver, receive, StatusCode::kPeerLost);
    close();
  }
}

}  // namespace
}  // namespace sluice
