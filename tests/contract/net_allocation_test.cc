// No Net allocates per chunk on the thread that calls it.
#include <cstdlib>
#include <new>

#include "tests/contract/net_contract.h"

namespace {
thread_local bool counting = false;
thread_local std::uint64_t allocations = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (counting) ++allocations;
  void* memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(bytes)
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace sluice::contract {
namespace {

INSTANTIATE_TEST_SUITE_P(EveryNet, NetContract, testing::ValuesIn(every_net()), name_of);

TEST_P(NetContract, NoAllocationPerChunk) {
  const auto size = [](std::uint64_t k) { return static_cast<std::size_t>(k * 37 % 9001); };
  Stream stream(*nets, noise, 2000, most_in_flight(), 9001, size, size);
  make_channel(stream.sender, stream.receiver);
  ASSERT_FALSE(HasFatalFailure());
  run(stream);  // What is allocated once has been by now.
  stream.more(10'000);
  allocations = 0;
  counting = true;
  const bool finished = soon([&] {
    stream.step_receiver();
    stream.step_sender();
    return stream.finished() || !stream.trouble().empty();
  });
  counting = false;
  EXPECT_TRUE(finished);
  EXPECT_EQ(stream.trouble(), "");
  EXPECT_EQ(allocations, 0u);
}

TEST(Allocations, AreCounted) {
  allocations = 0;
  counting = true;
  auto one = std::make_unique<std::vector<int>>(100);
  counting = false;
  EXPECT_EQ(allocations, 2u);
}

}  // namespace
}  // namespace sluice::contract
