#include "tests/sim_net/sim_control.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "src/base/fd.h"

namespace sluice::sim {
namespace {

using std::chrono::microseconds;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Two hosts, the second of which listens.
class Control : public testing::Test {
 protected:
  void start(const SimOptions& options) {
    world = std::make_unique<SimWorld>(options);
    left_host = world->add_host();
    right_host = world->add_host();
    left = std::make_unique<SimControlNet>(*world, left_host);
    right = std::make_unique<SimControlNet>(*world, right_host);
    ASSERT_TRUE(right->listen("", 7000).ok());
  }
  void connect() {
    near = left->connect("10.0.0.2", 7000).take();
    near->tag = 1;
    settle();
    far = right->accept();
    ASSERT_NE(far, nullptr);
    far->tag = 2;
  }
  void settle() {
    while (world->run_next()) {
    }
  }
  static std::size_t write(ByteStream& stream, std::string_view text) {
    const IoResult result = stream.write(bytes_of(text));
    return result.answer == IoAnswer::kSome ? result.bytes : 0;
  }
  // What can be read now.
  static std::string read(ByteStream& stream, IoAnswer& last) {
    std::string all;
    char buffer[64];
    for (;;) {
      const IoResult result = stream.read(std::as_writable_bytes(std::span(buffer)));
      last = result.answer;
      if (result.answer != IoAnswer::kSome) return all;
      all.append(buffer, result.bytes);
    }
  }
  static std::vector<std::uint64_t> ready(ControlNet& control) {
    std::array<std::uint64_t, 8> tags;
    const std::size_t count = control.ready(tags);
    return {tags.begin(), tags.begin() + static_cast<std::ptrdiff_t>(count)};
  }

  std::unique_ptr<SimWorld> world;
  SimHost left_host{}, right_host{};
  std::unique_ptr<SimControlNet> left, right;
  std::unique_ptr<ByteStream> near, far;
  IoAnswer last{};
};

TEST_F(Control, ConnectsAndTellsWhoIsWho) {
  start({});
  near = left->connect("10.0.0.2", 7000).take();
  near->tag = 5;
  EXPECT_EQ(near->write(bytes_of("x")).answer, IoAnswer::kNotYet) << "still connecting";
  settle();
  EXPECT_EQ(ready(*left), std::vector<std::uint64_t>{5});
  EXPECT_TRUE(ready(*left).empty()) << "told once";
  EXPECT_EQ(ready(*right), std::vector<std::uint64_t>{ControlNet::kAcceptTag});
  far = right->accept();
  ASSERT_NE(far, nullptr);
  EXPECT_EQ(right->accept(), nullptr);
  EXPECT_EQ(far->local_host(), "10.0.0.2");
  EXPECT_EQ(far->remote().substr(0, 9), "10.0.0.1:");
  EXPECT_EQ(near->remote(), "10.0.0.2:7000");
}

TEST_F(Control, NobodyListensOrNoSuchHost) {
  start({});
  auto refused = left->connect("10.0.0.2", 7001).take();
  auto nowhere = left->connect("10.0.0.99", 7000).take();
  settle();
  for (ByteStream* stream : {refused.get(), nowhere.get()}) {
    EXPECT_EQ(stream->write(bytes_of("x")).answer, IoAnswer::kFailed);
    EXPECT_EQ(stream->failure().code(), StatusCode::kUnavailable);
  }
}

TEST_F(Control, APortIsTakenOnceAndFreeAgainLater) {
  start({});
  SimControlNet third(*world, right_host);
  EXPECT_EQ(third.listen("", 7000).code(), StatusCode::kUnavailable);
  EXPECT_EQ(third.listen("10.0.0.1", 7000).code(), StatusCode::kNotFound);
  right.reset();
  EXPECT_TRUE(third.listen("10.0.0.2", 7000).ok());
  SimControlNet fourth(*world, right_host);
  ASSERT_TRUE(fourth.listen("", 0).ok());
  EXPECT_NE(fourth.port(), 0);
}

TEST_F(Control, BytesComeInOrderWhateverTheirPieces) {
  SimOptions options;
  options.short_io_percent = 100;
  options.control_delay = from_ms(3);
  options.control_buffer_bytes = 40;
  start(options);
  connect();
  std::string sent, received;
  for (int i = 0; i < 2000; ++i) sent += static_cast<char>('a' + i * 7 % 26);
  for (std::size_t at = 0; received.size() < sent.size();) {
    if (at < sent.size()) at += write(*near, std::string_view(sent).substr(at));
    received += read(*far, last);
    world->run_next();
  }
  EXPECT_EQ(received, sent);
}

TEST_F(Control, AFullConnectionStopsTheWriterUntilItIsRead) {
  SimOptions options;
  options.control_buffer_bytes = 10;
  start(options);
  connect();
  EXPECT_EQ(write(*near, "0123456789abc"), 10u);
  EXPECT_EQ(near->write(bytes_of("abc")).answer, IoAnswer::kNotYet);
  settle();
  (void)ready(*left);
  EXPECT_TRUE(ready(*left).empty());
  EXPECT_EQ(ready(*right), std::vector<std::uint64_t>{2});
  EXPECT_EQ(ready(*right), std::vector<std::uint64_t>{2}) << "level-triggered for reading";
  far->set_reading(false);
  EXPECT_TRUE(ready(*right).empty());
  EXPECT_EQ(read(*far, last), "0123456789");
  EXPECT_EQ(ready(*left), std::vector<std::uint64_t>{1}) << "worth writing again";
  EXPECT_TRUE(ready(*left).empty());
}

TEST_F(Control, EndOfWritesIsReadAfterTheLastByte) {
  SimOptions options;
  options.control_delay = from_ms(1);
  start(options);
  connect();
  write(*near, "last");
  EXPECT_FALSE(near->delivered());
  near->end_writes();
  settle();
  EXPECT_TRUE(near->delivered());
  EXPECT_EQ(read(*far, last), "last");
  EXPECT_EQ(last, IoAnswer::kEnd);
  EXPECT_EQ(write(*far, "other way"), 9u);
  settle();
  EXPECT_EQ(read(*near, last), "other way");
}

TEST_F(Control, WhatAClosedEndHasWrittenStillComes) {
  SimOptions options;
  options.control_delay = from_ms(1);
  start(options);
  connect();
  write(*near, "farewell");
  near.reset();
  settle();
  EXPECT_EQ(read(*far, last), "farewell");
  EXPECT_EQ(last, IoAnswer::kEnd);
}

TEST_F(Control, ClosingWithUnreadBytesResetsTheOtherEnd) {
  start({});
  connect();
  write(*far, "nobody reads this");
  settle();
  near.reset();
  settle();
  EXPECT_EQ(far->write(bytes_of("x")).answer, IoAnswer::kFailed);
  EXPECT_EQ(far->failure().code(), StatusCode::kPeerLost);
}

TEST_F(Control, WritingToAClosedEndFailsLater) {
  start({});
  connect();
  near.reset();
  settle();
  EXPECT_EQ(write(*far, "x"), 1u) << "it cannot know yet";
  settle();
  EXPECT_EQ(far->write(bytes_of("y")).answer, IoAnswer::kFailed);
}

TEST_F(Control, AKilledHostIsSeenByItsPeers) {
  start({});
  connect();
  world->kill(left_host);
  settle();
  (void)read(*far, last);
  EXPECT_EQ(last, IoAnswer::kEnd);
  EXPECT_EQ(near->read(std::as_writable_bytes(std::span(&last, 1))).answer, IoAnswer::kFailed);
  auto late = right->connect("10.0.0.1", 7000).take();
  settle();
  EXPECT_FALSE(late->failure().ok());
}

TEST_F(Control, AStoppedHostsKernelStillTakesBytes) {
  start({});
  connect();
  world->stop(right_host);
  write(*near, "hello");
  settle();
  EXPECT_TRUE(near->delivered());
}

TEST_F(Control, ACutLinkKeepsBytesUntilItIsHealed) {
  start({});
  connect();
  world->cut(left_host, right_host);
  write(*near, "hello");
  settle();
  EXPECT_FALSE(near->delivered());
  EXPECT_EQ(read(*far, last), "");
  EXPECT_EQ(last, IoAnswer::kNotYet);
  world->heal(left_host, right_host);
  settle();
  EXPECT_EQ(read(*far, last), "hello");
}

TEST_F(Control, SleepEndsWhenAStreamIsReadyAndNotBefore) {
  SimOptions options;
  options.control_delay = from_ms(5);
  start(options);
  connect();
  const Nanoseconds before = world->now();
  write(*near, "x");
  right->sleep(microseconds(1'000'000));
  EXPECT_LE(world->now(), before + from_ms(5));
  EXPECT_EQ(read(*far, last), "x");
}

TEST_F(Control, SleepEndsAtItsLimit) {
  start({});
  connect();
  (void)ready(*left);
  const Nanoseconds before = world->now();
  left->sleep(microseconds(250));
  EXPECT_EQ(world->now(), before + from_us(250));
}

TEST_F(Control, SleepEndsForAnInterruptAndForAWatchedFd) {
  start({});
  const Nanoseconds before = world->now();
  left->interrupt();
  left->sleep(microseconds(1000));
  EXPECT_LT(world->now(), before + from_us(100));
  auto doorbell = EventFd::create().take();
  ASSERT_TRUE(left->watch(doorbell.get()).ok());
  doorbell.ring();
  left->sleep(microseconds(1000));
  EXPECT_LT(world->now(), before + from_us(100));
  doorbell.clear();
  left->sleep(microseconds(1000));
  EXPECT_GE(world->now(), before + from_us(1000));
}

TEST_F(Control, ReadyGoesRoundWhenThereAreMoreThanFit) {
  start({});
  std::vector<std::unique_ptr<ByteStream>> streams;
  for (std::uint64_t i = 0; i < 5; ++i) {
    streams.push_back(left->connect("10.0.0.2", 7001).take());  // Refused: ready for good.
    streams.back()->tag = i;
  }
  settle();
  std::vector<int> seen(5);
  for (int i = 0; i < 5; ++i) {
    std::array<std::uint64_t, 2> tags;
    ASSERT_EQ(left->ready(tags), 2u);
    for (const std::uint64_t tag : tags) ++seen[tag];
  }
  EXPECT_EQ(seen, std::vector<int>(5, 2));
}

using ControlDeathTest = Control;

TEST_F(ControlDeathTest, StreamsMustNotOutliveTheirNet) {
  start({});
  connect();
  EXPECT_DEATH(left.reset(), "outlive");
}

TEST_F(ControlDeathTest, WriteAfterTheEndOfWrites) {
  start({});
  connect();
  near->end_writes();
  EXPECT_DEATH((void)near->write(bytes_of("x")), "ended true");
}

}  // namespace
}  // namespace sluice::sim
