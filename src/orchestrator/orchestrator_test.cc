#include "src/orchestrator/orchestrator.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "tests/engine/engine_fixture.h"

namespace sluice {
namespace {

std::string address_of(ProgressThread& thread) {
  std::string address;
  thread.run([&](Engine& engine) { address = engine.address(); });
  return address;
}

class Orchestrators : public testing::TestWithParam<Threads> {};

TEST_P(Orchestrators, EveryEngineReachesEveryEngineOfTheOther) {
  constexpr std::size_t kEngines = 3;
  const auto places = host_places(Machine{}, kEngines);
  auto a = Orchestrator::start(loopback_options(), places, GetParam()).take();
  auto b = Orchestrator::start(loopback_options(), places, GetParam()).take();
  ASSERT_EQ(a->size(), kEngines);
  for (std::size_t i = 0; i < kEngines; ++i) {
    for (std::size_t k = 0; k < kEngines; ++k) {
      const std::string address = address_of(b->engine(k));
      a->engine(i).run([&](Engine& engine) { EXPECT_TRUE(engine.connect(address).ok()); });
    }
  }
  for (std::size_t k = 0; k < kEngines; ++k) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < kEngines; ++i) {
      std::array<PeerEvent, 1> event;
      ASSERT_EQ(b->engine(k).poll_peers(event, kPatience), 1u);
      EXPECT_EQ(event[0].kind, PeerEventKind::kConnected);
      names.insert(event[0].name.substr(0, event[0].name.find(' ')));
    }
    EXPECT_EQ(names, (std::set<std::string>{"host0", "host1", "host2"}));
  }
}

TEST_P(Orchestrators, SaysWhichEngineCouldNotStart) {
  EXPECT_EQ(Orchestrator::start(loopback_options(), {}, GetParam()).status().code(),
            StatusCode::kInvalidArgument);
  Options high = loopback_options();
  high.listen_port = 65535;
  EXPECT_EQ(Orchestrator::start(high, host_places(Machine{}, 2), GetParam()).status().code(),
            StatusCode::kInvalidArgument);

  // Without CUDA, and with fewer GPUs than that.
  auto places = host_places(Machine{}, 2);
  places[1] = {"gpu999", 999, "", ""};
  const Status status =
      Orchestrator::start(loopback_options(), std::move(places), GetParam()).status();
  EXPECT_NE(status.code(), StatusCode::kOk);
  EXPECT_TRUE(status.message().starts_with("gpu999: ")) << status.message();
}

INSTANTIATE_TEST_SUITE_P(, Orchestrators, testing::Values(Threads::kOwn, Threads::kOne),
                         [](const auto& values) {
                           return values.param == Threads::kOwn ? "OwnThreads" : "OneThread";
                         });

}  // namespace
}  // namespace sluice
