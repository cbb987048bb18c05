// What a plugin sees of a channel.
#include "src/net/plugin/plugin_channels.h"

#include "src/net/plugin/plugin_net_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(PluginNetTest, OnlyTheOldestIsTested) {
  make_net();
  make_channels();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(send(), PostAnswer::kPosted);
  EXPECT_EQ(sender->test_oldest(), TestAnswer::kPending);
  state().done_up_to = 3;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sender->test_oldest(), TestAnswer::kDone);
  EXPECT_THAT(state().tested_requests, ElementsAre(1, 1, 2, 3));
}

TEST_F(PluginNetTest, NoRequestIsBusyAndNothingElse) {
  make_net();
  make_channels();
  state().busy = true;
  EXPECT_EQ(send(), PostAnswer::kBusy);
  EXPECT_EQ(recv(), PostAnswer::kBusy);
  state().busy = false;
  EXPECT_EQ(send(), PostAnswer::kPosted);
  EXPECT_TRUE(sender->failure().ok());
}

TEST_F(PluginNetTest, ThePluginIsNeverAskedForMoreThanItTakes) {
  make_net();
  make_channels();
  for (int i = 0; i < 16; ++i) ASSERT_EQ(recv(), PostAnswer::kPosted);
  EXPECT_EQ(recv(), PostAnswer::kBusy);
  state().done_up_to = 2;
  state().size = 100;
  EXPECT_EQ(receiver->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_EQ(recv(), PostAnswer::kBusy) << "a request is the plugin's until it is consumed";
  receiver->consume_oldest();
  EXPECT_EQ(recv(), PostAnswer::kPosted);
  EXPECT_EQ(calls_of("irecv"), 17);
}

TEST_F(PluginNetTest, AFullPluginIsAnErrorAndNotBusy) {
  make_net();
  make_channels();
  state().result_of["isend"] = ResultCode::kInternalError;
  EXPECT_EQ(send(), PostAnswer::kFailed);
  EXPECT_EQ(sender->failure().code(), StatusCode::kSystem);
  EXPECT_EQ(calls_of("close"), 1);
}

TEST_F(PluginNetTest, AFailureClosesTheCommAndThenEveryChunkHasFailed) {
  make_net();
  make_channels();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(recv(), PostAnswer::kPosted);
  state().result_of["test"] = ResultCode::kSystemError;
  EXPECT_EQ(receiver->test_oldest(arrival), TestAnswer::kFailed);
  EXPECT_EQ(calls_of("close"), 1) << "before the chunk's memory is anybody's again";
  EXPECT_EQ(receiver->test_oldest(arrival), TestAnswer::kFailed);
  EXPECT_EQ(receiver->test_oldest(arrival), TestAnswer::kFailed);
  EXPECT_EQ(calls_of("test"), 1);
  EXPECT_EQ(receiver->failure().code(), StatusCode::kPeerLost);
  EXPECT_EQ(recv(), PostAnswer::kFailed);
}

TEST_F(PluginNetTest, AbortIsTheOnlyCancel) {
  make_net();
  make_channels();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(send(), PostAnswer::kPosted);
  sender->abort();
  EXPECT_EQ(calls_of("close"), 1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sender->test_oldest(), TestAnswer::kFailed);
  EXPECT_EQ(sender->failure().code(), StatusCode::kClosed);
  sender->abort();
}

TEST_F(PluginNetTest, ASilentPluginFailsWhenItsTimeIsUp) {
  make_net();
  make_channels();
  const auto test_often = [&] {
    TestAnswer answer = TestAnswer::kPending;
    for (int i = 0; i < 1000 && answer == TestAnswer::kPending; ++i) answer = sender->test_oldest();
    return answer;
  };
  const auto test_during = [&](Nanoseconds time) {
    TestAnswer answer = test_often();
    for (int i = 0; i < 10 && answer == TestAnswer::kPending; ++i) {
      clock.advance(time / 10);
      answer = test_often();
    }
    return answer;
  };
  ASSERT_EQ(send(), PostAnswer::kPosted);
  ASSERT_EQ(send(), PostAnswer::kPosted);
  EXPECT_EQ(test_during(options.stall_timeout), TestAnswer::kPending);
  state().done_up_to = 1;  // Something moves: from the beginning.
  EXPECT_EQ(sender->test_oldest(), TestAnswer::kDone);
  EXPECT_EQ(test_during(options.stall_timeout), TestAnswer::kPending);
  clock.advance(10 * options.stall_timeout);
  EXPECT_EQ(test_often(), TestAnswer::kPending) << "nobody asked meanwhile";
  clock.advance(1);
  EXPECT_EQ(test_often(), TestAnswer::kFailed);
  EXPECT_EQ(sender->failure().code(), StatusCode::kTimedOut);
  EXPECT_THAT(std::string(sender->failure().message()), HasSubstr("1000 ms"));
}

TEST_F(PluginNetTest, TheTimeBeforeAPostDoesNotCount) {
  make_net();
  make_channels();
  ASSERT_EQ(send(), PostAnswer::kPosted);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(sender->test_oldest(), TestAnswer::kPending);
  state().done_up_to = 1;
  ASSERT_EQ(sender->test_oldest(), TestAnswer::kDone);
  clock.advance(10 * options.stall_timeout);
  ASSERT_EQ(send(), PostAnswer::kPosted);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(sender->test_oldest(), TestAnswer::kPending);
}

TEST_F(PluginNetTest, ASizeIsTakenFromAPluginThatWritesOne) {
  make_net();
  make_channels();
  state().done_up_to = 100;
  for (const int size : {0, 99, 100}) {
    state().size = size;
    ASSERT_EQ(recv(100), PostAnswer::kPosted);
    ASSERT_EQ(receiver->test_oldest(arrival), TestAnswer::kDone);
    EXPECT_EQ(arrival.bytes, static_cast<std::uint64_t>(size));
    EXPECT_TRUE(arrival.fragments.empty());
    receiver->consume_oldest();
  }
  EXPECT_THAT(state().consumed, ElementsAre(1, 2, 3));
  state().size = 101;
  ASSERT_EQ(recv(100), PostAnswer::kPosted);
  EXPECT_EQ(receiver->test_oldest(arrival), TestAnswer::kFailed);
  EXPECT_EQ(receiver->failure().code(), StatusCode::kTooLong);
}

TEST_F(PluginNetTest, APluginThatWritesNoSizeDeliversWhatWasPosted) {
  make_net();
  make_channels();
  state().done_up_to = 1;
  ASSERT_EQ(recv(77), PostAnswer::kPosted);
  ASSERT_EQ(receiver->test_oldest(arrival), TestAnswer::kDone);
  EXPECT_EQ(arrival.bytes, 77u);
  receiver->consume_oldest();
}

TEST_F(PluginNetTest, ArrivalsOfAnUnpackingPluginAreFragments) {
  make_unpacking_net();
  make_channels();
  state().done_up_to = 40;
  state().size = 12345;  // Never believed.
  for (std::uint64_t k = 0; k < 40; ++k) {
    const auto length = static_cast<std::uint32_t>(k);
    meta->entries[k % 16][0] = {4096, length, 0};
    meta->counts[k % 16] = k == 0 ? 0 : 1;
    ASSERT_EQ(recv(100), PostAnswer::kPosted);
    ASSERT_EQ(receiver->test_oldest(arrival), TestAnswer::kDone) << receiver->failure().to_string();
    EXPECT_EQ(arrival.bytes, k);
    EXPECT_EQ(arrival.pool.data(), pool.data());
    receiver->consume_oldest();
  }
}

TEST_F(PluginNetTest, FragmentsOutliveAFailureUntilTheyAreConsumed) {
  make_unpacking_net();
  make_channels();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(recv(100), PostAnswer::kPosted);
  state().done_up_to = 2;
  for (const std::uint64_t slot : {0u, 1u}) {
    meta->entries[slot][0] = {0, 100, 0};
    meta->counts[slot] = 1;
  }
  ASSERT_EQ(receiver->test_oldest(arrival), TestAnswer::kDone);
  ASSERT_EQ(receiver->test_oldest(arrival), TestAnswer::kDone);
  state().result_of["test"] = ResultCode::kSystemError;
  EXPECT_EQ(receiver->test_oldest(arrival), TestAnswer::kFailed);
  receiver->consume_oldest();
  EXPECT_EQ(calls_of("close"), 0) << "the second is still being unpacked";
  receiver->consume_oldest();
  EXPECT_EQ(calls_of("close"), 1);
}

TEST_F(PluginNetTest, AConsumeThatIsRefusedFailsTheChannel) {
  make_net();
  make_channels();
  state().done_up_to = 1;
  ASSERT_EQ(recv(), PostAnswer::kPosted);
  ASSERT_EQ(receiver->test_oldest(arrival), TestAnswer::kDone);
  state().result_of["irecvConsumed"] = ResultCode::kInternalError;
  receiver->consume_oldest();
  EXPECT_THAT(std::string(receiver->failure().message()), HasSubstr("irecvConsumed"));
  EXPECT_EQ(recv(), PostAnswer::kFailed);
}

}  // namespace
}  // namespace sluice
