// What every Net does when something goes wrong.
#include <algorithm>

#include "tests/contract/net_contract.h"

namespace sluice::contract {
namespace {

INSTANTIATE_TEST_SUITE_P(EveryNet, NetContract, testing::ValuesIn(every_net()), name_of);

class NetContractFailure : public NetContract {
 protected:
  void SetUp() override {
    NetContract::SetUp();
    // More than sockets hold, where a chunk can be: it does not go without a receive.
    into.assign(longest(), std::byte{0});
    source = nets->sending().register_memory(noise.bytes(), Memory::kHost).take();
    sink = nets->receiving().register_memory(into, Memory::kHost).take();
    make_channel(sender, receiver);
  }
  // Posts until something was refused: a channel that is dead says so soon.
  [[nodiscard]] bool posting_fails(SendChannel& channel) {
    std::uint32_t posted = 0;
    return soon([&] {
      const PostAnswer answer = channel.post(noise.chunk(0), 100, *source);
      if (answer == PostAnswer::kFailed) return true;
      if (answer == PostAnswer::kPosted) ++posted;
      if (posted < most_in_flight()) return false;
      TestAnswer test = TestAnswer::kPending;
      EXPECT_TRUE(soon([&] { return (test = channel.test_oldest()) != TestAnswer::kPending; }));
      --posted;
      return test == TestAnswer::kFailed;
    });
  }

  std::vector<std::byte> into;
  std::unique_ptr<NetMemory> source, sink;
  std::unique_ptr<SendChannel> sender;
  std::unique_ptr<RecvChannel> receiver;
};

INSTANTIATE_TEST_SUITE_P(EveryNet, NetContractFailure, testing::ValuesIn(every_net()), name_of);

TEST_P(NetContract, AHandleWhoseListenerIsGoneLeadsNowhere) {
  if (!nets->notices_refusal()) GTEST_SKIP() << "this plugin tries for longer than a test takes";
  auto listener = listen();
  auto connector = connect(*listener);
  const std::vector<std::byte> handle(listener->handle().begin(), listener->handle().end());
  listener.reset();
  auto another = listen();  // Some Nets look at who comes only while they wait for somebody.
  for (int i = 0; i < 2; ++i) {
    std::unique_ptr<SendChannel> sender;
    Status failure;
    MakeAnswer answer = MakeAnswer::kNotYet;
    ASSERT_TRUE(soon(
        [&] { return (answer = connector->connect(sender, failure)) != MakeAnswer::kNotYet; }));
    if (answer == MakeAnswer::kFailed) {
      EXPECT_FALSE(failure.ok());
      EXPECT_FALSE(failure.message().empty());
    } else {
      // Made, since nobody has told it otherwise: then it fails as a channel.
      auto source = nets->sending().register_memory(noise.bytes(), Memory::kHost).take();
      EXPECT_TRUE(soon([&] {
        return sender->post(noise.chunk(0), 0, *source) == PostAnswer::kFailed ||
               sender->test_oldest() == TestAnswer::kFailed;
      }));
      sender->abort();
      sender.reset();
    }
    connector = nets->sending().connect(0, handle).take();
  }
}

TEST_P(NetContract, AConnectorThatGaveUpLeavesTheListenerToAnother) {
  auto listener = listen();
  for (int i = 0; i < 5; ++i) {
    auto hesitant = connect(*listener);
    if (i % 2 == 0) nets->drive();
  }
  // It may have been taken at its word before it gave up: then that channel is dead.
  std::unique_ptr<SendChannel> sender;
  std::unique_ptr<RecvChannel> receiver;
  Status failure;
  auto connector = connect(*listener);
  MakeAnswer connected = MakeAnswer::kNotYet;
  MakeAnswer accepted = MakeAnswer::kNotYet;
  ASSERT_TRUE(soon([&] {
    if (connected == MakeAnswer::kNotYet) connected = connector->connect(sender, failure);
    if (accepted == MakeAnswer::kNotYet) accepted = listener->accept(receiver, failure);
    return accepted != MakeAnswer::kNotYet && connected != MakeAnswer::kNotYet;
  }));
  EXPECT_EQ(accepted, MakeAnswer::kMade);
}

TEST_P(NetContractFailure, ASendLongerThanItsReceiveFailsTheChannelAndSaysWhy) {
  std::fill(into.begin(), into.end(), Sink::kUntouched);
  post(*receiver, into.data() + 100, 1000, *sink);
  post(*sender, noise.chunk(0), 1001, *source);
  const Both both = wait(*sender, *receiver, into.data() + 100, 1000);
  EXPECT_EQ(both.taken.answer, TestAnswer::kFailed);
  const Status failure = receiver->failure();
  EXPECT_FALSE(failure.ok());
  EXPECT_EQ(failure.code() == StatusCode::kTooLong, nets->sees_too_long());
  EXPECT_NE(failure.message().find("1001"), std::string_view::npos) << failure.message();
  EXPECT_NE(failure.message().find("1000"), std::string_view::npos) << failure.message();
  const auto untouched = [](std::byte b) { return b == Sink::kUntouched; };
  EXPECT_TRUE(std::all_of(into.begin(), into.begin() + 100, untouched));
  EXPECT_TRUE(std::all_of(into.begin() + 1100, into.end(), untouched));
  EXPECT_EQ(receiver->post(into.data(), 1000, *sink), PostAnswer::kFailed);
  receiver.reset();
  EXPECT_TRUE(posting_fails(*sender));
  sender->abort();
}

TEST_P(NetContractFailure, AbortReportsEverySendOnceAndTheDoneOnesFirst) {
  const std::uint32_t window = most_in_flight();
  for (std::uint32_t i = 0; i < window; ++i) post(*sender, noise.chunk(i), longest(), *source);
  sender->abort();
  bool failed = false;
  for (std::uint32_t i = 0; i < window; ++i) {
    const TestAnswer answer = wait(*sender);
    EXPECT_FALSE(failed && answer == TestAnswer::kDone) << "Done behind Failed";
    failed = failed || answer == TestAnswer::kFailed;
  }
  EXPECT_TRUE(failed);
  EXPECT_FALSE(sender->failure().ok());
  EXPECT_EQ(sender->post(noise.chunk(0), 1, *source), PostAnswer::kFailed);
  source.reset();  // Nothing is posted any more.
}

TEST_P(NetContractFailure, AbortReportsEveryReceiveOnce) {
  const std::uint32_t window = most_in_flight();
  for (std::uint32_t i = 0; i < window; ++i) post(*receiver, into.data() + i, 1, *sink);
  receiver->abort();
  for (std::uint32_t i = 0; i < window; ++i) {
    EXPECT_EQ(wait(*receiver, into.data(), 1).answer, TestAnswer::kFailed);
  }
  EXPECT_FALSE(receiver->failure().ok());
  EXPECT_EQ(receiver->post(into.data(), 1, *sink), PostAnswer::kFailed);
  sink.reset();
  EXPECT_TRUE(posting_fails(*sender)) << "the sender was not told";
  sender->abort();
}

TEST_P(NetContractFailure, NothingIsWrittenOnceEverythingIsReported) {
  post(*receiver, into.data(), longest(), *sink);
  post(*sender, noise.chunk(0), longest(), *source);
  for (int i = 0; i < 10; ++i) nets->drive();
  receiver->abort();
  (void)wait(*receiver, into.data(), longest());
  const std::vector<std::byte> before = into;
  for (int i = 0; i < 2000; ++i) nets->drive();
  EXPECT_EQ(into, before);
  sender->abort();
}

TEST_P(NetContractFailure, ChannelsMayBeDestroyedInFlight) {
  for (int round = 0; round < 20; ++round) {
    for (std::uint32_t i = 0; i < most_in_flight(); ++i) {
      post(*receiver, into.data(), longest(), *sink);
      post(*sender, noise.chunk(i), longest(), *source);
    }
    for (int i = 0; i < round; ++i) nets->drive();
    // In any order, and without waiting for the reports.
    if (round % 2 == 0) {
      sender->abort();
      sender.reset();
    }
    receiver->abort();
    receiver.reset();
    if (round % 2 != 0) {
      sender->abort();
      sender.reset();
    }
    std::fill(into.begin(), into.end(), std::byte{0});  // It is ours again.
    make_channel(sender, receiver);
    ASSERT_FALSE(HasFatalFailure());
  }
}

TEST_P(NetContractFailure, WhatWasDoneArrivesThoughTheSenderCloses) {
  const std::uint32_t window = std::min(most_in_flight(), 8u);
  for (std::uint32_t i = 0; i < window; ++i) post(*sender, noise.chunk(i), 1000, *source);
  std::uint32_t done = 0;
  for (int i = 0; i < 2000 && done < window; ++i) {
    nets->drive();
    if (sender->test_oldest() == TestAnswer::kDone) ++done;
  }
  sender->abort();
  sender.reset();
  bool failed = false;
  for (std::uint32_t i = 0; i <= window && !failed; ++i) {
    PostAnswer answer = PostAnswer::kBusy;
    ASSERT_TRUE(soon(
        [&] { return (answer = receiver->post(into.data(), 1000, *sink)) != PostAnswer::kBusy; }));
    const bool arrived = answer == PostAnswer::kPosted &&
                         wait(*receiver, into.data(), 1000).answer == TestAnswer::kDone;
    failed = !arrived;
    if (arrived) {
      EXPECT_EQ(std::memcmp(into.data(), noise.chunk(i), 1000), 0);
    } else {
      EXPECT_GE(i, done) << "of what was Done";
    }
  }
  EXPECT_TRUE(failed) << "the end was not told";
  EXPECT_FALSE(receiver->failure().ok());
}

TEST_P(NetContractFailure, ASenderLearnsThatTheReceiverHasClosed) {
  receiver.reset();
  EXPECT_TRUE(posting_fails(*sender));
  EXPECT_FALSE(sender->failure().ok());
  sender->abort();
}

TEST_P(NetContractFailure, AReceiverLearnsThatTheSenderHasClosed) {
  for (std::uint32_t i = 0; i < most_in_flight(); ++i) post(*receiver, into.data(), 10, *sink);
  sender.reset();
  for (std::uint32_t i = 0; i < most_in_flight(); ++i) {
    EXPECT_EQ(wait(*receiver, into.data(), 10).answer, TestAnswer::kFailed);
  }
  EXPECT_FALSE(receiver->failure().ok());
}

TEST_P(NetContractFailure, OneChannelsEndIsNothingToAnother) {
  const auto size = [](std::uint64_t k) { return static_cast<std::size_t>(k % 3000); };
  Stream stream(*nets, noise, 1000, most_in_flight(), 3000, size, size);
  make_channel(stream.sender, stream.receiver);
  ASSERT_FALSE(HasFatalFailure());
  for (int i = 0; i < 100; ++i) {
    stream.step_receiver();
    stream.step_sender();
    nets->drive();
  }
  post(*receiver, into.data(), longest(), *sink);
  receiver->abort();
  sender.reset();
  run(stream);
}

TEST_P(NetContractFailure, ASleeperIsWokenByAFailure) {
  const int fd = nets->receiving().wake_fd();
  if (fd < 0) GTEST_SKIP() << "this Net can only be polled";
  post(*receiver, into.data(), 10, *sink);
  nets->receiving().arm();
  ASSERT_EQ(test_and_unpack(*receiver, into.data(), 10).answer, TestAnswer::kPending);
  sender.reset();
  TestAnswer answer = TestAnswer::kPending;
  while (answer == TestAnswer::kPending) {
    ASSERT_TRUE(nets->wait_readable(fd));
    nets->receiving().disarm();
    nets->receiving().arm();
    answer = test_and_unpack(*receiver, into.data(), 10).answer;
  }
  EXPECT_EQ(answer, TestAnswer::kFailed);
  nets->receiving().disarm();
}

}  // namespace
}  // namespace sluice::contract
