// What a plugin sees of memory.
#include "src/net/plugin/plugin_memory.h"

#include <array>

#include "src/net/plugin/plugin_net_fixture.h"

namespace sluice {
namespace {

using testing::HasSubstr;

TEST_F(PluginNetTest, MemoryIsRegisteredOncePerCommAndLetGoBeforeTheCommIs) {
  make_net();
  make_channels();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(send(), PostAnswer::kPosted);
  ASSERT_EQ(recv(), PostAnswer::kPosted);
  EXPECT_EQ(calls_of("regMr"), 2);
  for (const auto& [handle, registered] : state().registered) {
    const auto base = reinterpret_cast<std::uintptr_t>(bytes.data());
    EXPECT_EQ(registered.begin % 4096, 0u);
    EXPECT_EQ(registered.bytes % 4096, 0u);
    EXPECT_LE(registered.begin, base);
    EXPECT_GE(registered.begin + registered.bytes, base + bytes.size());
    EXPECT_EQ(registered.type, nccl_abi::kPointerHost);
  }
  sender->abort();
  EXPECT_EQ(state().registered.size(), 1u);
  receiver->abort();
  EXPECT_TRUE(state().registered.empty());
}

TEST_F(PluginNetTest, MemoryThatGoesFirstIsDeregisteredToo) {
  make_net();
  make_channels();
  state().done_up_to = 1;
  ASSERT_EQ(send(), PostAnswer::kPosted);
  ASSERT_EQ(sender->test_oldest(), TestAnswer::kDone);
  memory.reset();
  EXPECT_TRUE(state().registered.empty());
}

TEST_F(PluginNetTest, AnUnpackingPluginsMemoryIsDeviceMemoryAndOnePageOfItDoesForReceives) {
  make_unpacking_net();
  make_channels();
  ASSERT_EQ(recv(), PostAnswer::kPosted);
  ASSERT_EQ(state().registered.size(), 1u);
  EXPECT_EQ(state().registered.begin()->second.bytes, 4096u);
  EXPECT_EQ(state().registered.begin()->second.type, nccl_abi::kPointerCuda);
  ASSERT_EQ(send(), PostAnswer::kPosted);
  EXPECT_GE(state().bytes, 100u);
  EXPECT_EQ(state().type, nccl_abi::kPointerCuda);
}

TEST_F(PluginNetTest, MemoryLongerThanAnIntIsRegisteredInPiecesThatHoldEveryChunk) {
  make_unpacking_net();
  make_channels();
  // Never touched: only addresses matter.
  const std::span<std::byte> large(reinterpret_cast<std::byte*>(0x1'0000'0100), 3ul << 30);
  auto region = net->register_memory(large, Memory::kHost).take();
  const std::uint64_t chunk = net->devices()[0].largest_chunk;
  std::uint64_t pieces = 0;
  for (const std::uint64_t at : {0ul, PluginMemory::kPieceBytes - 1, PluginMemory::kPieceBytes,
                                 2 * PluginMemory::kPieceBytes - 1, large.size() - chunk}) {
    ASSERT_EQ(sender->post(large.data() + at, chunk, *region), PostAnswer::kPosted);
    const auto begin = reinterpret_cast<std::uintptr_t>(large.data()) + at;
    EXPECT_TRUE(std::ranges::any_of(state().registered, [&](const auto& entry) {
      const auto& r = entry.second;
      return r.begin <= begin && begin + chunk <= r.begin + r.bytes;
    })) << at;
    pieces = state().registered.size();
  }
  EXPECT_EQ(pieces, 3u);
  sender->abort();
  region.reset();
}

TEST_F(PluginNetTest, ARefusedRegistrationFailsTheChannelAndSaysWhat) {
  make_net();
  make_channels();
  state().result_of["regMr"] = ResultCode::kInternalError;
  EXPECT_EQ(send(), PostAnswer::kFailed);
  EXPECT_THAT(std::string(sender->failure().message()), HasSubstr("regMr of"));
}

}  // namespace
}  // namespace sluice
