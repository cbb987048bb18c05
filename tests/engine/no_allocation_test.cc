// In steady state the engine allocates nothing, neither per chunk nor per message: this program
// counts every operator new, on every thread, over more than 10,000 chunks.
#include <gtest/gtest.h>

#include "tests/engine/engine_fixture.h"
#include "tests/support/allocations.h"

namespace sluice {
namespace {

class Stream {
 public:
  Stream(Pair& pair, std::vector<std::byte>& from, std::vector<std::byte>& into)
      : pair_(pair), from_(pair.a.add(from)), into_(pair.b.add(into)) {}

  // `count` messages of `bytes`, one after the other, without a container in sight.
  bool run(int count, std::uint64_t bytes) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    for (int i = 0; i < count; ++i) {
      if (!pair_.b.engine->recv(pair_.a_at_b, {into_, 0, bytes}).ok()) return false;
      if (!pair_.a.engine->send(pair_.b_at_a, {from_, 0, bytes}).ok()) return false;
      bool sent = false;
      bool received = false;
      while (!sent || !received) {
        if (std::chrono::steady_clock::now() > end) return false;
        pair_.a.engine->progress();
        pair_.b.engine->progress();
        sent = poll(*pair_.a.engine) || sent;
        received = poll(*pair_.b.engine) || received;
      }
    }
    return true;
  }

 private:
  static bool poll(Engine& engine) {
    std::array<Completion, 1> completion;
    return engine.poll(completion) == 1 && completion[0].status.ok();
  }

  Pair& pair_;
  RegionId from_;
  RegionId into_;
};

TEST(NoAllocation, OverTenThousandChunksAndMessages) {
  Options options = loopback_options();
  options.chunk_bytes = 4096;
  options.small_bytes = 1024;
  Pair pair(options, options);
  std::vector<std::byte> from = random_bytes(5000 * 4096, 1);
  std::vector<std::byte> into(from.size());
  Stream stream(pair, from, into);
  ASSERT_TRUE(stream.run(3, from.size()));
  ASSERT_TRUE(stream.run(100, 64));

  // Chunks are at least 256 KiB unless chunk_bytes is smaller: 5,000 of them twice.
  const CountedAllocations counted;
  const bool bulk = stream.run(3, from.size());
  const bool small = stream.run(2000, 64);
  EXPECT_EQ(counted.on_all_threads(), 0u);
  EXPECT_TRUE(bulk);
  EXPECT_TRUE(small);
  EXPECT_TRUE(same_bytes(from, into));
}

}  // namespace
}  // namespace sluice
