// The kernel copy_pieces, run on the host.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "src/gpu/emulated_cuda_fixture.h"
// After what it takes from CUDA.
#include "src/gpu/copy_pieces.cu"

namespace sluice {
namespace {

constexpr std::uint32_t kBlocks = 2;
constexpr std::uint32_t kThreads = 64;
constexpr std::uint32_t kRing = 16;  // Units.

// Memory of exactly one unit or run, so that whatever else is touched is noticed.
struct Copied {
  Copied(std::size_t bytes, std::size_t from_shift, std::size_t to_shift, std::mt19937_64& random)
      : length(bytes),
        from(std::make_unique<unsigned char[]>(from_shift + length)),
        to(std::make_unique<unsigned char[]>(to_shift + length)),
        unit(from.get() + from_shift, to.get() + to_shift, std::min(length, kLargestUnit)) {
    std::generate_n(from.get(), from_shift + length, random);
  }
  [[nodiscard]] bool is_done() const {
    const auto* const a = reinterpret_cast<const unsigned char*>(unit.from());
    return std::equal(a, a + length, reinterpret_cast<const unsigned char*>(unit.to()));
  }
  [[nodiscard]] UnitRun run() const {
    return {unit.from(), unit.to(), static_cast<std::uint32_t>(length)};
  }

  std::size_t length;
  std::unique_ptr<unsigned char[]> from;
  std::unique_ptr<unsigned char[]> to;
  CopyUnit unit;
};

class CopyPieces : public testing::Test {
 protected:
  CopyPieces() {
    arguments_.mask = kRing - 1;
    arguments_.state = &state_;
    arguments_.flags = flags_;
  }

  Copied& make(std::size_t length, std::size_t from_shift = 0, std::size_t to_shift = 0) {
    return *copied_.emplace_back(std::make_unique<Copied>(length, from_shift, to_shift, random_));
  }
  // Units numbered from `first` on, at their places in the ring.
  void put(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = first; i != first + count; ++i) {
      ring_[i % kRing] = make(100 + random_() % 400, random_() % 16, random_() % 16).unit;
    }
    arguments_.units = ring_;
  }
  void closed(std::uint64_t progress, bool is_known, std::uint32_t first, std::uint32_t count) {
    arguments_.posted = nullptr;
    arguments_.progress = progress;
    arguments_.is_known = is_known ? 1 : 0;
    arguments_.first = first;
    arguments_.count = count;
    launch();
  }
  void open(std::uint64_t posted) {
    posted_[kEnd] = posted;
    launch_open();
  }
  void launch_open() {
    arguments_.posted = posted_;
    arguments_.is_known = 0;
    arguments_.first = arguments_.count = 12345;  // Not looked at.
    arguments_.progress = 12345;
    launch();
  }
  void launch() {
    ++arguments_.launch;
    emulate_launch(copy_pieces, kBlocks, kThreads, arguments_);
    EXPECT_EQ(flags_[kBegun], arguments_.launch);
    EXPECT_EQ(flags_[kFinished], arguments_.launch);
    EXPECT_EQ(state_.finished + state_.claimed + state_.begun + state_.known, 0u);
  }
  void expect_all_done() {
    for (std::size_t i = 0; i < copied_.size(); ++i) EXPECT_TRUE(copied_[i]->is_done()) << i;
    copied_.clear();
  }

  CopyArguments arguments_{};
  LaunchState state_{};
  std::uint64_t flags_[4] = {};
  std::uint64_t posted_[kPostedWords] = {};
  CopyUnit ring_[kRing];
  std::mt19937_64 random_{1};
  std::vector<std::unique_ptr<Copied>> copied_;
};

// More than the warps take at first.
TEST_F(CopyPieces, EveryAlignmentAndLength) {
  arguments_.units = nullptr;
  std::uint32_t count = 0;
  for (const std::size_t length : {0u, 1u, 15u, 16u, 31u, 33u, 700u, 4096u}) {
    for (std::size_t shift = 0; shift < 16; shift += 3) {
      arguments_.inline_units[count++] = make(length, shift, (5 * shift + length) % 16).unit;
    }
  }
  closed(progress_of(7, count), true, 0, count);
  expect_all_done();
  EXPECT_EQ(flags_[kProgress], progress_of(7, count));
  EXPECT_EQ(state_.done, count);
}

TEST_F(CopyPieces, AnOpenListEndsWhereThePostedOneDoesWhenItBegins) {
  state_.done = ~0u - 4;  // The number of units wraps, and so does the ring.
  put(~0u - 4, 11);
  open(progress_of(3, 6));
  expect_all_done();
  EXPECT_EQ(flags_[kProgress], progress_of(3, 6));
  EXPECT_EQ(state_.done, 6u);
  open(progress_of(3, 6));  // Nothing more has come.
  EXPECT_EQ(state_.done, 6u);
  put(6, kRing);
  open(progress_of(4, 6 + kRing));
  expect_all_done();
  EXPECT_EQ(state_.done, 6 + kRing);
}

// All blocks work on one list, wherever it ends.
TEST_F(CopyPieces, APostedListThatGrowsEndsInOnePlace) {
  for (std::uint32_t round = 0; round < 30; ++round) {
    const std::uint32_t first = round * kRing;
    put(first, kRing);
    std::atomic_ref(posted_[kEnd]).store(progress_of(first, first));
    std::jthread poster([&] {
      for (std::uint32_t i = 1; i <= kRing; ++i) {
        std::atomic_ref(posted_[kEnd]).store(progress_of(first + i, first + i));
        std::this_thread::sleep_for(std::chrono::microseconds(50));  // Blocks begin one by one.
      }
    });
    launch_open();
    poster.join();
    const std::uint32_t done = state_.done;
    EXPECT_EQ(flags_[kProgress], progress_of(done, done));
    for (std::uint32_t i = 0; i < kRing; ++i) {
      EXPECT_EQ(copied_[i]->is_done(), i < done - first) << i << " of " << done - first;
    }
    open(progress_of(first + kRing, first + kRing));
    expect_all_done();
  }
}

TEST_F(CopyPieces, AClosedListBeginsWhereTheLaunchesBeforeItEnded) {
  put(0, 10);
  open(progress_of(1, 4));
  closed(progress_of(2, 10), false, 2, 8);  // Not from 2 on.
  expect_all_done();
  EXPECT_EQ(state_.done, 10u);
  EXPECT_EQ(flags_[kProgress], progress_of(2, 10));
  put(10, 6);
  open(progress_of(4, 16));
  expect_all_done();
  for (CopyUnit& unit : ring_) unit = CopyUnit(nullptr, nullptr, 100);  // Whoever copies it dies.
  closed(progress_of(3, 13), false, 10, 3);
  EXPECT_EQ(state_.done, 16u) << "the open list went beyond";
  EXPECT_EQ(flags_[kProgress], progress_of(4, 16));
  closed(progress_of(2, 16), false, 13, 3);
  EXPECT_EQ(flags_[kProgress], progress_of(4, 16)) << "it went on to the end of other work";
}

// The GPU's time stands still but for what a test adds.
class CopyPiecesLingering : public CopyPieces {
 protected:
  CopyPiecesLingering() {
    emulated_ns = 1;
    arguments_.posted = posted_;
    arguments_.linger_ns = 100;
    arguments_.progress = arguments_.first = arguments_.count = 12345;  // Not looked at.
  }
  ~CopyPiecesLingering() override { emulated_ns = 0; }

  void start(std::uint32_t blocks = kBlocks, std::uint32_t threads = kThreads) {
    ++arguments_.launch;
    running_ = std::jthread(
        [=, this] { emulate_launch(copy_pieces_lingering, blocks, threads, arguments_); });
  }
  void post(std::uint64_t progress) { std::atomic_ref(posted_[kEnd]).store(progress); }
  void put_words(const UnitRun& run, std::uint64_t progress) {
    std::uint64_t words[kRunWords];
    put_run(run, progress, words);
    for (std::uint32_t i = 0; i < kRunWords; ++i) {
      std::atomic_ref(posted_[kRun + i]).store(words[i], std::memory_order_relaxed);
    }
  }
  // What the launch reads beside this end, it reads after this was called.
  void post_at_leisure(std::uint64_t progress) {
    const std::uint64_t now = emulated_acquires;
    while (emulated_acquires < now + 2 * kLanes) std::this_thread::yield();
    post(progress);
  }
  [[nodiscard]] std::uint64_t flag(std::uint32_t place) {
    return std::atomic_ref(flags_[place]).load();
  }
  void wait_for(std::uint32_t place, std::uint64_t value) {
    while (flag(place) != value) std::this_thread::yield();
  }
  // Once the linger time is over, by whatever the kernel reckons.
  void expect_left() {
    while (flag(kListClosed) != arguments_.launch) {
      if (emulated_ns != 0) emulated_ns += arguments_.linger_ns + 1;
      std::this_thread::yield();
    }
    running_.join();
    EXPECT_EQ(flags_[kBegun], arguments_.launch);
    EXPECT_EQ(flags_[kListClosed], arguments_.launch);
    EXPECT_EQ(flags_[kFinished], arguments_.launch);
    EXPECT_EQ(flags_[kProgress], state_.end);
    EXPECT_EQ(units_of(state_.end), state_.done);
  }

  std::jthread running_;
};

TEST_F(CopyPiecesLingering, ItTakesWhatIsPostedWhileItStays) {
  state_.done = ~0u - 4;
  put(~0u - 4, 6);
  post(progress_of(1, 1));
  start();
  for (std::uint32_t i = 1; i < 40; ++i) {
    wait_for(kProgress, progress_of(i, i));
    expect_all_done();
    EXPECT_EQ(flag(kListClosed), 0u);
    emulated_ns += 60;  // Since it last had something to do, it is less than the 100.
    put(i, 1);
    post(progress_of(i + 1, i + 1));
  }
  wait_for(kProgress, progress_of(40, 40));
  expect_left();
  expect_all_done();
  EXPECT_EQ(state_.done, 40u);
}

TEST_F(CopyPiecesLingering, ItLeavesThoughMoreKeepsComing) {
  arguments_.linger_ns = kLongestStayNs;
  put(0, 1);
  post(progress_of(1, 1));
  start();
  wait_for(kBegun, 1);
  std::uint32_t promised = 1;
  for (; flag(kListClosed) == 0; ++promised) {
    wait_for(kProgress, progress_of(promised, promised));
    emulated_ns += kLongestStayNs / 32;
    put(promised, 1);
    post(progress_of(promised + 1, promised + 1));
  }
  EXPECT_GE(promised, 30u);
  expect_left();
  EXPECT_GE(state_.done + 1, promised) << "it was not closed when it was posted";
  arguments_.linger_ns = 0;
  closed(progress_of(promised, promised), false, 0, 0);
  expect_all_done();
}

TEST_F(CopyPiecesLingering, ItLeavesAsOneThoughItsThreadsReadDifferentTimes) {
  emulated_skew_ns = 10;
  arguments_.linger_ns = kLongestStayNs;
  start();
  wait_for(kBegun, arguments_.launch);
  emulated_ns += kLongestStayNs;  // Over for the first thread alone.
  running_.join();
  emulated_skew_ns = 0;
  EXPECT_EQ(flag(kFinished), arguments_.launch);
}

TEST_F(CopyPiecesLingering, ItLeavesWhenItIsAskedTo) {
  put(0, 2);
  post(progress_of(1, 1));
  posted_[kLeave] = arguments_.launch;  // Of the one before.
  start();
  wait_for(kProgress, progress_of(1, 1));
  EXPECT_EQ(flag(kListClosed), 0u);
  post(progress_of(2, 2));
  std::atomic_ref(posted_[kLeave]).store(arguments_.launch);
  expect_left();
  expect_all_done();
}

// A post at each fence, which is between any two of the words that the kernel tells and reads.
TEST_F(CopyPiecesLingering, WhatIsPostedBeforeTheListIsSeenToBeClosedIsDone) {
  post(progress_of(1, 0));
  start(1, kLanes);
  std::uint32_t given = 1;
  std::uint32_t promised = 1;
  emulated_at_system_fence = [&] {  // On the one thread that has fences.
    ++given;
    post(progress_of(given, 0));
    if (flag(kListClosed) != arguments_.launch) promised = given;
  };
  wait_for(kBegun, arguments_.launch);
  expect_left();
  emulated_at_system_fence = nullptr;
  EXPECT_GE(number_of(state_.end), promised);
}

// The same, with posts that follow each other closely.
TEST_F(CopyPiecesLingering, NothingIsPostedInVain) {
  emulated_ns = 0;
  std::uint32_t given = 0;
  for (int round = 0; round < 50; ++round) {
    start(1, kLanes);
    std::uint32_t promised = given;
    for (;; promised = given) {
      ++given;
      post(progress_of(given, 0));
      if (flag(kListClosed) == arguments_.launch) break;
    }
    expect_left();
    ASSERT_GE(number_of(state_.end), promised) << round;
  }
}

TEST_F(CopyPiecesLingering, ARunNeedsNoList) {
  for (CopyUnit& unit : ring_) unit = CopyUnit(nullptr, nullptr, 100);  // Whoever copies it dies.
  arguments_.units = ring_;
  state_.done = ~0u - 1;
  post(progress_of(1, ~0u - 1));
  start();
  wait_for(kProgress, progress_of(1, ~0u - 1));
  std::uint32_t units = ~0u - 1;
  std::uint32_t number = 1;
  for (const std::uint32_t length : {1u, 4095u, 4096u, 4097u, 3 * 4096u, 40'001u}) {
    Copied& copied = make(length, length % 16, 5);
    units += (length + 4095) / 4096;
    const std::uint64_t progress = progress_of(++number, units);
    put_words(copied.run(), progress);
    post_at_leisure(progress);
    wait_for(kProgress, progress);
    expect_all_done();
  }
  expect_left();
}

// Words of a run may be of another post than the end that is read with them, and a run need not be
// all that has come.
TEST_F(CopyPiecesLingering, ARunThatDoesNotEndTheListWithWhatHasComeIsNotTaken) {
  Copied& wrong = make(2 * 4096, 0, 0);
  const UnitRun run = wrong.run();
  put(0, 7);
  start();
  std::uint32_t units = 0;
  std::uint32_t number = 0;
  const auto post_beside = [&](std::uint32_t count) {
    units += count;
    post_at_leisure(progress_of(number, units));
    wait_for(kProgress, progress_of(number, units));
  };
  put_words(run, progress_of(1, 2));
  number = 2;
  post_beside(2);  // Another piece of work, which ends where it does.
  put_words(run, progress_of(3, 3));
  number = 3;
  post_beside(2);  // The same, but more of it.
  put_words(run, progress_of(4, 7));
  number = 4;
  post_beside(3);  // One more before it.
  for (std::uint32_t old = 0; old < kRunWords; ++old) {
    put_words(run, progress_of(number + 1, units + 2));
    std::atomic_ref(posted_[kRun + old])
        .store(progress_of(number, units_of(posted_[kRun + old])), std::memory_order_relaxed);
    ++number;
    put(units, 2);
    post_beside(2);
  }
  EXPECT_FALSE(wrong.is_done());
  copied_.erase(copied_.begin());
  expect_all_done();
  expect_left();
}

// More units than are fetched at a time.
TEST_F(CopyPiecesLingering, ALongList) {
  constexpr std::uint32_t kCount = 1500;
  std::vector<CopyUnit> ring(2048);
  state_.done = 1000;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    ring[(1000 + i) % ring.size()] = make(1 + random_() % 40, random_() % 16).unit;
  }
  arguments_.units = ring.data();
  arguments_.mask = static_cast<std::uint32_t>(ring.size()) - 1;
  post(progress_of(9, 1000 + kCount));
  start();
  wait_for(kProgress, progress_of(9, 1000 + kCount));
  expect_all_done();
  expect_left();
}

}  // namespace
}  // namespace sluice
