#include "src/net/tcp/chunk_pump.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using testing::eventually;

std::unique_ptr<ChunkPump> make_pump(std::unique_ptr<ChunkStream> stream, Doorbell& doorbell,
                                     std::uint32_t window = 16, std::uint32_t spin_us = 0) {
  auto pump = ChunkPump::create(
      std::move(stream), doorbell,
      {.window = window, .spin_us = spin_us, .name = "channel 0", .thread_name = "pump-test"});
  EXPECT_TRUE(pump.ok());
  return pump.take();
}

TestAnswer test_once(ChunkPump& pump) {
  std::uint64_t bytes = 0;
  return pump.test_oldest(bytes);
}

// Two pumps over a socket pair, each with a doorbell of its own as if in two processes.
struct Pumps {
  explicit Pumps(std::uint32_t window = 16, std::uint32_t spin_us = 0) {
    auto [a, b] = testing::small_pair();
    sender = make_pump(std::make_unique<SendStream>(std::move(a)), sender_bell, window, spin_us);
    receiver =
        make_pump(std::make_unique<RecvStream>(std::move(b)), receiver_bell, window, spin_us);
  }
  Doorbell sender_bell{EventFd::create().take()};
  Doorbell receiver_bell{EventFd::create().take()};
  std::unique_ptr<ChunkPump> sender;
  std::unique_ptr<ChunkPump> receiver;
};

// The name and the blocked signals of every thread of this process.
std::vector<std::pair<std::string, std::uint64_t>> threads() {
  std::vector<std::pair<std::string, std::uint64_t>> result;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    std::pair<std::string, std::uint64_t> thread;
    for (std::string word; status >> word;) {
      if (word == "Name:") status >> thread.first;
      if (word == "SigBlk:") status >> std::hex >> thread.second;
    }
    if (!thread.first.empty()) result.push_back(std::move(thread));
  }
  return result;
}

TEST(ChunkPump, WindowIsTheLimitAndReportsMakeRoom) {
  std::byte from[4]{};
  std::byte into[4]{};
  Pumps pumps(3);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(pumps.sender->post(from, 4), PostAnswer::kPosted);
    ASSERT_EQ(pumps.receiver->post(into, 4), PostAnswer::kPosted);
  }
  EXPECT_EQ(pumps.sender->post(from, 4), PostAnswer::kBusy);
  EXPECT_EQ(pumps.receiver->post(into, 4), PostAnswer::kBusy);
  pumps.sender->hand_over();
  pumps.receiver->hand_over();
  ASSERT_TRUE(eventually([&] { return test_once(*pumps.receiver) == TestAnswer::kDone; }));
  EXPECT_EQ(pumps.receiver->post(into, 4), PostAnswer::kPosted);
  EXPECT_EQ(pumps.receiver->post(into, 4), PostAnswer::kBusy);
}

TEST(ChunkPump, InlineMovesNeedNoHelper) {
  Pumps pumps;
  auto data = pattern(1000, 1);
  std::vector<std::byte> arrived(1000);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(pumps.receiver->post(arrived.data(), 1000), PostAnswer::kPosted);
    ASSERT_FALSE(pumps.receiver->move_inline());
    ASSERT_EQ(test_once(*pumps.receiver), TestAnswer::kPending);
    ASSERT_EQ(pumps.sender->post(data.data(), 1000), PostAnswer::kPosted);
    ASSERT_TRUE(pumps.sender->move_inline());
    ASSERT_EQ(test_once(*pumps.sender), TestAnswer::kDone);
    ASSERT_TRUE(pumps.receiver->move_inline());
    std::uint64_t bytes = 0;
    ASSERT_EQ(pumps.receiver->test_oldest(bytes), TestAnswer::kDone);
    ASSERT_EQ(bytes, 1000u);
    ASSERT_EQ(arrived, data);
  }
}

TEST(ChunkPump, TheHelperGoesOnWhereInlineStopped) {
  Pumps pumps;
  auto data = pattern(4 << 20, 2);
  std::vector<std::byte> arrived(data.size());
  ASSERT_EQ(pumps.sender->post(data.data(), data.size()), PostAnswer::kPosted);
  ASSERT_FALSE(pumps.sender->move_inline());  // The socket is full.
  ASSERT_EQ(pumps.receiver->post(arrived.data(), arrived.size()), PostAnswer::kPosted);
  ASSERT_FALSE(pumps.receiver->move_inline());
  pumps.sender->hand_over();
  EXPECT_FALSE(pumps.sender->move_inline());  // It is the helper's now.
  pumps.receiver->hand_over();
  ASSERT_TRUE(eventually([&] { return test_once(*pumps.receiver) == TestAnswer::kDone; }));
  ASSERT_TRUE(eventually([&] { return test_once(*pumps.sender) == TestAnswer::kDone; }));
  EXPECT_EQ(arrived, data);
}

// One end of the stress below: posts `count` chunks of sizes that both ends draw alike.
class End {
 public:
  End(ChunkPump& pump, Doorbell& doorbell, bool sends, std::uint32_t seed)
      : pump_(pump), doorbell_(doorbell), sends_(sends), choices_(seed) {}

  void run(std::uint32_t count) {
    while (reported_ < count) {
      if (posted_ < count) post();
      const bool sleeping = choices_() % 8 == 0;
      if (sleeping) {
        doorbell_.arm();
        pump_.hand_over();
      }
      if (!report() && sleeping && pump_.in_flight() > 0) {
        // A lost wake-up shows as this poll() running into its limit.
        ASSERT_TRUE(testing::readable(doorbell_.fd(), 20'000)) << "slept through a chunk";
      }
      if (sleeping) doorbell_.disarm();
    }
  }

 private:
  void post() {
    buffers_[posted_ % 64] = sends_ ? pattern(size(), posted_) : std::vector<std::byte>(kRoom);
    auto& buffer = buffers_[posted_ % 64];
    if (pump_.post(buffer.data(), buffer.size()) != PostAnswer::kPosted) return;
    ++posted_;
    sizes_.discard(1);
    switch (choices_() % 3) {
      case 0:
        pump_.hand_over();
        break;
      case 1:
        pump_.move_inline();
        break;
      default:
        break;  // Later.
    }
  }
  bool report() {
    pump_.move_inline();
    if (choices_() % 4 == 0) pump_.hand_over();
    if (pump_.in_flight() == 0) return false;
    std::uint64_t bytes = 0;
    const TestAnswer answer = pump_.test_oldest(bytes);
    EXPECT_NE(answer, TestAnswer::kFailed) << pump_.failure().to_string();
    if (answer != TestAnswer::kDone) return false;
    if (!sends_) {
      auto& buffer = buffers_[reported_ % 64];
      buffer.resize(bytes);
      EXPECT_TRUE(same_bytes(buffer, pattern(bytes, reported_))) << "chunk " << reported_;
    }
    ++reported_;
    return true;
  }
  std::size_t size() const {
    std::minstd_rand copy = sizes_;
    const std::uint32_t draw = static_cast<std::uint32_t>(copy());
    return draw % 16 == 0 ? draw % kRoom : draw % 300;
  }
  static constexpr std::size_t kRoom = 200'000;

  ChunkPump& pump_;
  Doorbell& doorbell_;
  const bool sends_;
  std::minstd_rand choices_;
  std::minstd_rand sizes_{5};
  std::uint32_t posted_ = 0;
  std::uint32_t reported_ = 0;
  std::array<std::vector<std::byte>, 64> buffers_;
};

TEST(ChunkPump, AnyMixOfInlineHelperAndSleepKeepsOrderAndBytes) {
  for (const std::uint32_t spin_us : {0u, 50u}) {
    Pumps pumps(7, spin_us);
    std::thread other([&] { End(*pumps.sender, pumps.sender_bell, true, 1).run(3000); });
    End(*pumps.receiver, pumps.receiver_bell, false, 2).run(3000);
    other.join();
  }
}

TEST(ChunkPump, TheBellRingsForTheLastChunkAndNotForEachOne) {
  std::byte from[16]{};
  std::byte into[16]{};
  Pumps pumps;
  for (std::byte& at : into) ASSERT_EQ(pumps.receiver->post(&at, 1), PostAnswer::kPosted);
  pumps.receiver->hand_over();
  pumps.receiver_bell.arm();
  EXPECT_FALSE(testing::readable(pumps.receiver_bell.fd(), 0));
  for (std::byte& at : from) ASSERT_EQ(pumps.sender->post(&at, 1), PostAnswer::kPosted);
  pumps.sender->hand_over();
  // Whenever it rings, arming again and waiting again comes to all chunks in the end.
  int rings = 0;
  int done = 0;
  while (done < 16) {
    pumps.receiver_bell.arm();
    bool some = false;
    while (done < 16 && test_once(*pumps.receiver) == TestAnswer::kDone) {
      ++done;
      some = true;
    }
    if (!some) {
      ASSERT_TRUE(testing::readable(pumps.receiver_bell.fd(), 20'000)) << done;
      ++rings;
    }
    pumps.receiver_bell.disarm();
  }
  EXPECT_LE(rings, 16);
}

TEST(ChunkPump, AbortFreesABlockedReceiver) {
  Pumps pumps;
  std::byte data[8]{};
  for (int i = 0; i < 3; ++i) ASSERT_EQ(pumps.receiver->post(data, 8), PostAnswer::kPosted);
  pumps.receiver->hand_over();
  pumps.receiver_bell.arm();
  EXPECT_TRUE(pumps.receiver->failure().ok());
  pumps.receiver->abort();
  EXPECT_EQ(pumps.receiver->post(data, 8), PostAnswer::kFailed);
  EXPECT_TRUE(testing::readable(pumps.receiver_bell.fd(), 20'000));
  for (int i = 0; i < 3; ++i) {
    TestAnswer answer = TestAnswer::kPending;
    ASSERT_TRUE(eventually([&] {
      answer = test_once(*pumps.receiver);
      return answer != TestAnswer::kPending;
    }));
    EXPECT_EQ(answer, TestAnswer::kFailed);
  }
  EXPECT_EQ(pumps.receiver->failure().code(), StatusCode::kClosed);
  EXPECT_EQ(pumps.receiver->in_flight(), 0u);
}

TEST(ChunkPump, AbortFreesABlockedSenderAndWhatWasSentIsDone) {
  Pumps pumps;
  std::vector<std::byte> data(4 << 20);
  ASSERT_EQ(pumps.sender->post(data.data(), 1), PostAnswer::kPosted);
  ASSERT_EQ(pumps.sender->post(data.data(), data.size()), PostAnswer::kPosted);
  pumps.sender->hand_over();
  ASSERT_TRUE(eventually([&] { return test_once(*pumps.sender) == TestAnswer::kDone; }));
  pumps.sender->abort();
  TestAnswer answer = TestAnswer::kPending;
  ASSERT_TRUE(eventually([&] {
    answer = test_once(*pumps.sender);
    return answer != TestAnswer::kPending;
  }));
  EXPECT_EQ(answer, TestAnswer::kFailed);
}

TEST(ChunkPump, AbortOfAnIdlePumpFailsWhatWasNotHandedOver) {
  Pumps pumps;
  std::byte data{};
  ASSERT_EQ(pumps.receiver->post(&data, 1), PostAnswer::kPosted);
  pumps.receiver->abort();
  pumps.receiver->hand_over();
  EXPECT_FALSE(pumps.receiver->move_inline());
  TestAnswer answer = TestAnswer::kPending;
  ASSERT_TRUE(eventually([&] {
    answer = test_once(*pumps.receiver);
    return answer != TestAnswer::kPending;
  }));
  EXPECT_EQ(answer, TestAnswer::kFailed);
}

TEST(ChunkPump, AFailureFoundInlineFailsAllPostedAndTellsWhy) {
  Pumps pumps;
  std::byte data[2]{};
  ASSERT_EQ(pumps.receiver->post(data, 1), PostAnswer::kPosted);
  ASSERT_EQ(pumps.receiver->post(data, 1), PostAnswer::kPosted);
  std::byte from[2]{};
  ASSERT_EQ(pumps.sender->post(from, 2), PostAnswer::kPosted);
  ASSERT_TRUE(pumps.sender->move_inline());
  testing::LogCatcher log;
  EXPECT_FALSE(pumps.receiver->move_inline());
  EXPECT_EQ(pumps.receiver->failure().code(), StatusCode::kTooLong);
  EXPECT_EQ(log.count("TooLong"), 1u);
  for (int i = 0; i < 2; ++i) {
    TestAnswer answer = TestAnswer::kPending;
    ASSERT_TRUE(eventually([&] {
      answer = test_once(*pumps.receiver);
      return answer != TestAnswer::kPending;
    }));
    EXPECT_EQ(answer, TestAnswer::kFailed);
  }
  pumps.receiver->abort();  // Does not hide the first reason.
  EXPECT_EQ(pumps.receiver->failure().code(), StatusCode::kTooLong);
  EXPECT_EQ(log.count("channel 0"), 1u);
}

TEST(ChunkPump, AFailureOfTheHelperIsLoggedOnce) {
  testing::LogCatcher log;
  auto [peer, ours] = testing::small_pair();
  Doorbell bell{EventFd::create().take()};
  auto pump = make_pump(std::make_unique<RecvStream>(std::move(ours)), bell);
  std::byte data{};
  ASSERT_EQ(pump->post(&data, 1), PostAnswer::kPosted);
  ASSERT_EQ(pump->post(&data, 1), PostAnswer::kPosted);
  pump->hand_over();
  peer.reset();
  for (int i = 0; i < 2; ++i) {
    TestAnswer answer = TestAnswer::kPending;
    ASSERT_TRUE(eventually([&] {
      answer = test_once(*pump);
      return answer != TestAnswer::kPending;
    }));
    EXPECT_EQ(answer, TestAnswer::kFailed);
  }
  EXPECT_EQ(pump->post(&data, 1), PostAnswer::kFailed);
  EXPECT_EQ(pump->failure().code(), StatusCode::kPeerLost);
  EXPECT_EQ(log.count("PeerLost"), 1u);
}

TEST(ChunkPump, DestroyingOneThatIsUsedLetsGoOfTheMemory) {
  const testing::LogCatcher log;  // The senders notice, and say so.
  for (int i = 0; i < 50; ++i) {
    std::vector<std::byte> from(1 << 20);  // Before the pumps, so that they go first.
    std::vector<std::byte> into(1 << 20);
    Pumps pumps;
    ASSERT_EQ(pumps.sender->post(from.data(), from.size()), PostAnswer::kPosted);
    ASSERT_EQ(pumps.receiver->post(into.data(), into.size()), PostAnswer::kPosted);
    pumps.sender->hand_over();
    if (i % 2 == 0) pumps.receiver->hand_over();
  }
}

TEST(ChunkPump, HelpersAreNamedAndTakeNoSignals) {
  // A thread that has been joined may still be listed for a moment.
  ASSERT_TRUE(eventually([] {
    const auto all = threads();
    return std::ranges::none_of(all, [](const auto& one) { return one.first == "pump-test"; });
  }));
  const auto before = threads();
  {
    Pumps pumps;
    std::size_t helpers = 0;
    for (const auto& [name, blocked] : threads()) {
      if (name != "pump-test") continue;
      ++helpers;
      // SIGHUP, SIGINT, SIGTERM and all the rest but those that cannot be blocked.
      EXPECT_EQ(blocked & 0x4003u, 0x4003u);
    }
    EXPECT_EQ(helpers, 2u);
  }
  EXPECT_TRUE(eventually([&] { return threads().size() == before.size(); }));
}

}  // namespace
}  // namespace sluice
