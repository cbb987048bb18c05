// cancel() and deadlines: a transfer ends once, no byte comes after its end, and all else goes on.
#include "tests/engine/one_sided_fixture.h"
#include "tests/support/sanitized.h"

namespace sluice {
namespace {

constexpr std::size_t kBytes = 1 << 20;

struct CancelPair : OneSidedPair {
  CancelPair() : OneSidedPair(kBytes, options()) {}
  static Options options() {
    Options options = loopback_options();
    options.chunk_bytes = 64 << 10;
    return options;
  }
  // The whole region in random blocks, or in one.
  Result<TransferId> ask(bool writes, bool blocks, const TransferOptions& options) {
    std::vector<Slice> here{at_a(0, kBytes)};
    std::vector<RemoteSlice> there{at_b(0, kBytes)};
    if (blocks) {
      constexpr std::size_t kBlock = 4096;
      here.clear();
      for (std::size_t at = 0; at < kBytes; at += kBlock) here.push_back(at_a(at, kBlock));
      std::shuffle(here.begin(), here.end(), std::mt19937(7));
    }
    return writes ? a.engine->write(b_at_a, here, there, options)
                  : a.engine->read(b_at_a, here, there, options);
  }
  // Ours again: nothing may come any more while both make passes. What a cancelled read was served
  // the target's Net may still read, as its user has it, which the thread sanitizer calls a race.
  void expect_untouched(int passes) {
    const std::vector<std::byte> before(kBytes, std::byte{0x5a});
    local = before;
    if (!kThreadSanitizer) remote = before;
    for (int pass = 0; pass < passes; ++pass) {
      b.pass();
      a.pass();
    }
    EXPECT_TRUE(local == before && (kThreadSanitizer || remote == before));
  }
  // Everything is as good as new.
  void expect_works() {
    std::ranges::copy(random_bytes(kBytes, 31), local.begin());
    ASSERT_TRUE(write({at_a(0, kBytes)}, {at_b(0, kBytes)}).ok());
    EXPECT_TRUE(local == remote);
    std::ranges::copy(random_bytes(kBytes, 32), remote.begin());
    ASSERT_TRUE(read({at_a(0, kBytes)}, {at_b(0, kBytes)}).ok());
    EXPECT_TRUE(local == remote);
  }
};

TEST(Cancel, AtAnyMoment) {
  CancelPair pair;
  std::mt19937 random(3);
  std::size_t told = 0;
  std::size_t cancelled = 0;
  for (int round = 0; round < 60; ++round) {
    const bool writes = random() % 2 == 0;
    const auto id = pair.ask(writes, random() % 2 == 0, telling("done"));
    ASSERT_TRUE(id.ok()) << id.status().to_string();
    for (auto pass = random() % 40; pass > 0; --pass) {
      (random() % 3 == 0 ? pair.b : pair.a).pass();
    }
    const Status answer = pair.a.engine->cancel(*id);
    EXPECT_TRUE(answer.ok() || pair.a.finished(*id)) << answer.to_string();
    ASSERT_TRUE(pair.drive([&] { return pair.a.finished(*id); })) << "round " << round;
    const Status& status = pair.a.done.at(*id).status;
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kCancelled) << status.to_string();
    status.ok() ? ++told : ++cancelled;
    EXPECT_EQ(pair.a.engine->cancel(*id).code(), StatusCode::kNotFound);
    pair.expect_untouched(30);
    ASSERT_FALSE(testing::Test::HasFailure()) << "round " << round;
  }
  EXPECT_GT(cancelled, 0u);
  pair.expect_works();
  EXPECT_GE(pair.b.hear(), told);
  // The target may hear only now that its last answer has come.
  ASSERT_TRUE(pair.drive([&] { return pair.b.engine->deregister(pair.remote_region).ok(); }));
  ASSERT_TRUE(pair.a.engine->deregister(pair.local_region).ok());
}

TEST(Cancel, DeadlinesEndWhatATargetLeavesLying) {
  CancelPair pair;
  for (const bool blocks : {false, true}) {
    TransferOptions options = telling("never");
    options.deadline = std::chrono::milliseconds(5);
    const auto read = pair.ask(false, blocks, options);
    const auto written = pair.ask(true, blocks, options);
    ASSERT_TRUE(read.ok() && written.ok());
    // The target is not driven at all.
    ASSERT_TRUE(
        drive({&pair.a}, [&] { return pair.a.finished(*read) && pair.a.finished(*written); }));
    EXPECT_EQ(pair.a.done.at(*read).status.code(), StatusCode::kTimedOut);
    EXPECT_EQ(pair.a.done.at(*written).status.code(), StatusCode::kTimedOut);
    pair.expect_untouched(200);
    EXPECT_EQ(pair.b.hear(), 0u);
  }
  TransferOptions ample;
  ample.deadline = std::chrono::hours(1);
  ASSERT_TRUE(pair.finish(pair.ask(true, true, ample)).ok());
  pair.expect_works();
}

// Nothing comes from the target, and nothing of the transfers is under way.
TEST(Cancel, ADeadlineThatPassesEndsAWait) {
  CancelPair pair;
  // All slots but those of urgent ones, until their notifications are taken.
  const auto stays = std::as_bytes(std::span("stays", 5));
  for (int i = 0; i < 56; ++i) ASSERT_TRUE(pair.a.engine->notify(pair.b_at_a, stays).ok());
  ASSERT_TRUE(pair.drive([&] { return pair.a.done.size() == 56; }));
  TransferOptions soon = telling("waits for a slot");
  soon.deadline = std::chrono::milliseconds(20);
  const auto late = pair.ask(true, false, soon);
  ASSERT_TRUE(late.ok());
  const auto start = std::chrono::steady_clock::now();
  pair.a.engine->wait(kPatience);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPatience);
  pair.a.pass();
  ASSERT_TRUE(pair.a.finished(*late));
  EXPECT_EQ(pair.a.done.at(*late).status.code(), StatusCode::kTimedOut);
}

TEST(Cancel, WhatHasNotBegunEndsAtOnce) {
  CancelPair pair;
  std::vector<TransferId> waiting;
  for (int i = 0; i < 100; ++i) waiting.push_back(*pair.ask(i % 2 == 0, false, {}));
  const auto sent = pair.a.engine->send(pair.b_at_a, pair.at_a(0, 100));
  const auto received = pair.b.engine->recv(pair.a_at_b, {pair.remote_region, 0, 100});
  for (const TransferId id : waiting) ASSERT_TRUE(pair.a.engine->cancel(id).ok());
  ASSERT_TRUE(pair.a.engine->cancel(*sent).ok());
  ASSERT_TRUE(pair.b.engine->cancel(*received).ok());
  pair.a.pass();
  pair.b.pass();
  EXPECT_EQ(pair.a.done.size(), waiting.size() + 1);
  ASSERT_TRUE(pair.b.finished(*received));
  EXPECT_EQ(pair.b.done.at(*received).status.code(), StatusCode::kCancelled);
  pair.expect_works();
  const auto begun = pair.b.engine->recv(pair.a_at_b, {pair.remote_region, 0, 100});
  pair.b.pass();
  EXPECT_EQ(pair.b.engine->cancel(*begun).code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace sluice
