// No Net allocates per chunk on the thread that calls it.
#include "src/base/log.h"
#include "tests/contract/net_contract.h"
#include "tests/support/allocations.h"

namespace sluice::contract {
namespace {

INSTANTIATE_TEST_SUITE_P(EveryNet, NetContract, testing::ValuesIn(every_net()), name_of);

TEST_P(NetContract, NoAllocationPerChunk) {
  const auto size = [](std::uint64_t k) { return static_cast<std::size_t>(k * 37 % 9001); };
  Stream stream(*nets, noise, 2000, most_in_flight(), 9001, size, size);
  make_channel(stream.sender, stream.receiver);
  ASSERT_FALSE(HasFatalFailure());
  run(stream);  // What is allocated once has been by now.
  stream.more(3000);
  set_log_level(LogLevel::kError);  // Plugins warn now and then; that is not per chunk.
  const CountedAllocations counted;
  const bool finished = soon([&] {
    stream.step_receiver();
    stream.step_sender();
    return stream.finished() || !stream.trouble().empty();
  });
  set_log_level(LogLevel::kWarning);
  EXPECT_EQ(counted.on_this_thread(), 0u);
  EXPECT_TRUE(finished);
  EXPECT_EQ(stream.trouble(), "");
}

TEST(Allocations, AreCounted) {
  const CountedAllocations counted;
  auto one = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(counted.on_this_thread(), 2u);
  EXPECT_EQ(counted.on_all_threads(), 2u);
}

}  // namespace
}  // namespace sluice::contract
