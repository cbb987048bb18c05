#include "tests/sim_net/sim_world.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::sim {
namespace {

class Recorder final : public SimActor {
 public:
  Recorder(SimWorld& world, std::vector<Nanoseconds>& steps) : SimActor(world), steps_(steps) {}
  void step() override { steps_.push_back(world_.now()); }

 private:
  std::vector<Nanoseconds>& steps_;
};

TEST(SimWorld, TheClockGoesFromEventToEvent) {
  SimWorld world({});
  std::vector<Nanoseconds> steps;
  Recorder recorder(world, steps);
  const Nanoseconds start = world.now();
  world.wake(recorder.id(), start + 300);
  world.wake(recorder.id(), start + 100);
  EXPECT_EQ(world.next_event(), start + 100);
  while (world.run_next()) {
  }
  EXPECT_EQ(steps, (std::vector<Nanoseconds>{start + 100, start + 300}));
  EXPECT_TRUE(world.quiet());
  EXPECT_EQ(world.now(), start + 300);
}

TEST(SimWorld, RunUntilStopsBetweenEvents) {
  SimWorld world({});
  std::vector<Nanoseconds> steps;
  Recorder recorder(world, steps);
  const Nanoseconds start = world.now();
  world.wake(recorder.id(), start + 10);
  world.wake(recorder.id(), start + 30);
  world.run_until(start + 20);
  EXPECT_EQ(steps, (std::vector<Nanoseconds>{start + 10}));
  EXPECT_EQ(world.now(), start + 20);
}

TEST(SimWorld, AnEventOfTheGoneIsNothing) {
  SimWorld world({});
  std::vector<Nanoseconds> steps;
  {
    Recorder recorder(world, steps);
    world.wake(recorder.id(), world.now() + 10);
  }
  Recorder another(world, steps);
  EXPECT_TRUE(world.run_next());
  EXPECT_TRUE(steps.empty());
}

TEST(SimWorld, HostsAreFoundByAddress) {
  SimWorld world({});
  world.add_host();
  const SimHost second = world.add_host();
  EXPECT_EQ(world.address(second), "10.0.0.2");
  ASSERT_TRUE(world.find_host("10.0.0.2").ok());
  EXPECT_EQ(*world.find_host("10.0.0.2"), second);
  EXPECT_EQ(world.find_host("10.0.0.3").status().code(), StatusCode::kNotFound);
}

TEST(SimWorld, CutAndHealGoBothWays) {
  SimWorld world({});
  const SimHost a = world.add_host();
  const SimHost b = world.add_host();
  const SimHost c = world.add_host();
  world.cut(a, b);
  EXPECT_FALSE(world.passes(a, b));
  EXPECT_FALSE(world.passes(b, a));
  EXPECT_TRUE(world.passes(a, c));
  world.heal(b, a);
  EXPECT_TRUE(world.passes(a, b));
}

TEST(SimWorldDeathTest, MustOutliveItsParts) {
  EXPECT_DEATH(
      {
        std::vector<Nanoseconds> steps;
        auto world = std::make_unique<SimWorld>(SimOptions{});
        auto recorder = std::make_unique<Recorder>(*world, steps);
        world.reset();
      },
      "outlive");
}

TEST(SimOptions, DifferentSeedsDrawDifferentWorlds) {
  bool fragments = false, in_place = false, busy = false, poll_only = false;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    const SimOptions options = draw_options(seed);
    EXPECT_EQ(options.seed, seed);
    fragments |= options.delivery == Delivery::kFragments;
    in_place |= options.delivery == Delivery::kInPlace;
    busy |= options.busy_percent > 0;
    poll_only |= options.poll_only;
  }
  EXPECT_TRUE(fragments && in_place && busy && poll_only);
}

}  // namespace
}  // namespace sluice::sim
