#include "tools/perf/ensemble.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "tools/perf/crew.h"

namespace sluice::perf {
namespace {

TEST(Ensemble, NobodyPassesAGateBeforeAllHaveCome) {
  constexpr std::uint32_t kMembers = 4;
  constexpr std::uint64_t kGates = 500;
  const auto ensemble = Ensemble::create(kMembers).take();
  std::array<std::atomic<std::uint64_t>, kMembers> came{};
  Crew crew(kMembers, [&](std::uint32_t member) -> Status {
    for (std::uint64_t gate = 0; gate < kGates; ++gate) {
      came[member].store(gate + 1);
      ensemble->arrive(member, gate * kMembers + member);
      while (!ensemble->all_here(member)) std::this_thread::yield();
      for (const auto& other : came) {
        if (other.load() < gate + 1) return {StatusCode::kProtocol, "one was not here"};
      }
      // The sum of 4g, 4g + 1, 4g + 2 and 4g + 3 over four.
      if (ensemble->mean(member) != gate * kMembers + 1) return {StatusCode::kProtocol, "mean"};
    }
    return {};
  });
  const Status status = crew.outcome();
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(Ensemble, OneThatIsAloneWaitsForNobody) {
  const auto ensemble = Ensemble::create(1).take();
  ensemble->arrive(0, 7);
  EXPECT_TRUE(ensemble->all_here(0));
  EXPECT_EQ(ensemble->mean(0), 7u);
}

TEST(Ensemble, RowsAndGivingUpCrossProcesses) {
  const auto ensemble = Ensemble::create(2).take();
  EXPECT_FALSE(ensemble->row(1, 0).has_value());
  const pid_t child = fork();
  if (child == 0) {
    const auto joined = Ensemble::join(::dup(ensemble->fd()));
    if (!joined.ok() || (*joined)->members() != 2) _exit(1);
    ResultRow row;
    row.op = "an operation whose name is too long";
    row.memory = "cuda";
    row.direction = "both";
    row.size_bytes = 5;
    row.channels = 3;
    row.p99_us = 1.5;
    row.cpu_s_per_gb = 2.5;
    row.counters.wake_ups = 9;
    row.verified = true;
    row.layout = "contiguous";
    row.blocks = 11;
    row.block_bytes = 12;
    row.post_us = 3.5;
    row.urgent = true;
    row.beside_bytes = 13;
    row.beside_gbytes_per_s = 4.5;
    (*joined)->add_row(1, row);
    (*joined)->give_up();
    _exit(0);
  }
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(ensemble->given_up());
  const auto row = ensemble->row(1, 0);
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->op, "an operation wh") << "cut, not run over";
  EXPECT_EQ(row->memory, "cuda");
  EXPECT_EQ(row->direction, "both");
  EXPECT_EQ(row->size_bytes, 5u);
  EXPECT_EQ(row->channels, 3u);
  EXPECT_EQ(row->p99_us, 1.5);
  EXPECT_EQ(row->cpu_s_per_gb, 2.5);
  EXPECT_EQ(row->counters.wake_ups, 9u);
  EXPECT_TRUE(row->verified);
  EXPECT_EQ(row->layout, "contiguous");
  EXPECT_EQ(row->blocks, 11u);
  EXPECT_EQ(row->block_bytes, 12u);
  EXPECT_EQ(row->post_us, 3.5);
  EXPECT_TRUE(row->urgent);
  EXPECT_EQ(row->beside_bytes, 13u);
  EXPECT_EQ(row->beside_gbytes_per_s, 4.5);
  EXPECT_FALSE(ensemble->row(1, 1).has_value());
  EXPECT_FALSE(ensemble->row(0, 0).has_value());
}

TEST(Ensemble, HoldsNoMoreThanItHasRoomFor) {
  const auto ensemble = Ensemble::create(1).take();
  for (std::uint32_t i = 0; i < Ensemble::kMostRows + 1; ++i) ensemble->add_row(0, {});
  EXPECT_TRUE(ensemble->row(0, Ensemble::kMostRows - 1).has_value());
  EXPECT_FALSE(ensemble->row(0, Ensemble::kMostRows).has_value());
  for (const std::uint32_t members : {0u, Ensemble::kMostMembers + 1}) {
    EXPECT_EQ(Ensemble::create(members).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(Ensemble, RefusesADescriptorOfSomethingElse) {
  EXPECT_EQ(Ensemble::join(-1).status().code(), StatusCode::kInvalidArgument);
  const int other = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  EXPECT_EQ(Ensemble::join(other).status().code(), StatusCode::kInvalidArgument);
  ::close(other);
}

TEST(Crew, TellsTheFailureThatSaysMost) {
  Crew crew(3, [](std::uint32_t member) -> Status {
    if (member == 0) return {StatusCode::kClosed, "another has failed"};
    if (member == 1) return {};
    return {StatusCode::kUnavailable, "refused"};
  });
  EXPECT_EQ(crew.outcome().message(), "refused");
  EXPECT_TRUE(crew.ended());
}

}  // namespace
}  // namespace sluice::perf
