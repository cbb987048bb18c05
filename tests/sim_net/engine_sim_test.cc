// usage: engine_sim_test [--seed=N] [--from=N] [--seeds=N] [--log=LEVEL]
// One seed, or so many from that one on: the first 500, under the address sanitizer the first 150.
#include "tests/sim_net/engine_sim.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include "src/base/log.h"
#include "tests/support/sanitized.h"

namespace sluice::sim {
namespace {

std::uint64_t first_seed = 1;
constexpr std::uint64_t kUsualSeeds = 500;
std::uint64_t seeds = kAddressSanitizer ? 150 : kUsualSeeds;  // It is several times as slow.
volatile std::uint64_t seed_running = 0;

// A failed SLUICE_CHECK ends the process: without the seed nobody could repeat it.
void tell_seed(int) {
  char text[64];
  const int length = std::snprintf(text, sizeof(text), "replay with --seed=%llu\n",
                                   static_cast<unsigned long long>(seed_running));
  [[maybe_unused]] const auto written = write(2, text, static_cast<std::size_t>(length));
}

TEST(EngineSim, EverySeedKeepsWhatMustHold) {
  EngineSimArena arena;
  std::map<Fault, std::uint64_t> faults;
  std::uint64_t completed = 0;
  std::uint64_t healed = 0;
  EngineSim::Tally tally;
  for (std::uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    seed_running = seed;
    EngineSim sim(seed, arena);
    const std::string violations = sim.run();
    EXPECT_EQ(violations, "") << "replay with --seed=" << seed << " (fault "
                              << static_cast<int>(sim.fault()) << ")";
    ++faults[sim.fault()];
    completed += sim.completed();
    if (sim.healed()) ++healed;
    tally += sim.tally();
  }
  if (seeds < kUsualSeeds) return;
  EXPECT_EQ(faults.size(), kFaults) << "the seeds must cover every fault";
  EXPECT_GT(completed, 10 * seeds);
  EXPECT_GT(healed, seeds / 200) << "the seeds must have channels rebuilt";
  EXPECT_GT(tally.written, 2 * seeds);
  EXPECT_GT(tally.read, 2 * seeds);
  EXPECT_GT(tally.told, seeds);
  EXPECT_GT(tally.cancelled, seeds / 4);
  EXPECT_GT(tally.late, seeds / 4);
  EXPECT_GT(tally.refused, seeds / 4);
  fmt::print(
      "schedules {}, transfers {}, of them writes {} reads {} cancelled {} late {} refused {}; "
      "notifications {}\n",
      seeds, completed, tally.written, tally.read, tally.cancelled, tally.late, tally.refused,
      tally.told);
}

}  // namespace
}  // namespace sluice::sim

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto level = sluice::LogLevel::kError;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument.starts_with("--seed=")) {
      sluice::sim::first_seed = std::strtoull(argv[i] + 7, nullptr, 10);
      sluice::sim::seeds = 1;
    } else if (argument.starts_with("--from=")) {
      sluice::sim::first_seed = std::strtoull(argv[i] + 7, nullptr, 10);
    } else if (argument.starts_with("--seeds=")) {
      sluice::sim::seeds = std::strtoull(argv[i] + 8, nullptr, 10);
    } else if (argument.starts_with("--log=")) {
      const auto parsed = sluice::parse_log_level(argument.substr(6));
      if (parsed.ok()) level = *parsed;
    } else {
      std::fprintf(stderr, "usage: %s [--seed=N] [--from=N] [--seeds=N] [--log=LEVEL]\n", argv[0]);
      return 2;
    }
  }
  std::signal(SIGABRT, sluice::sim::tell_seed);
  sluice::set_log_level(level);
  return RUN_ALL_TESTS();
}
