#include "plugins/nccl/byte_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <random>
#include <vector>

namespace sluice::nccl_plugin {
namespace {

constexpr std::uint64_t kPage = ByteRing::kPage;

TEST(ByteRing, AllOfItFitsAndNotMore) {
  std::vector<std::byte> memory(4 * kPage);
  ByteRing ring(memory);
  EXPECT_EQ(ring.take(4 * kPage + 1), nullptr);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ring.take(4 * kPage), memory.data());
    EXPECT_EQ(ring.take(1), nullptr);
    ring.free_oldest();
    EXPECT_EQ(ring.take(1), memory.data());
    EXPECT_EQ(ring.take(1), memory.data() + kPage);
    EXPECT_EQ(ring.take(3 * kPage), nullptr);  // Not even when the first one is freed:
    ring.free_oldest();
    EXPECT_EQ(ring.take(3 * kPage), nullptr);  // pieces do not wrap.
    EXPECT_EQ(ring.take(2 * kPage), memory.data() + 2 * kPage);
    EXPECT_EQ(ring.take(kPage), memory.data());
    for (int piece = 0; piece < 3; ++piece) ring.free_oldest();
  }
}

TEST(ByteRing, PiecesOfNothingCount) {
  std::vector<std::byte> memory(kPage);
  ByteRing ring(memory);
  for (std::uint32_t i = 0; i < ByteRing::kMostPieces; ++i) EXPECT_NE(ring.take(0), nullptr);
  EXPECT_EQ(ring.take(0), nullptr);
  ring.free_oldest();
  EXPECT_NE(ring.take(kPage), nullptr);
}

TEST(ByteRing, NoPieceTouchesAnother) {
  std::vector<std::byte> memory(64 * kPage);
  ByteRing ring(memory);
  std::minstd_rand random(7);
  std::vector<std::byte> due(20 * kPage);
  std::deque<std::pair<std::span<std::byte>, int>> out;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bytes = random() % (20 * kPage);
    std::byte* at = random() % 3 == 0 ? nullptr : ring.take(bytes);
    if (at != nullptr) {
      ASSERT_GE(at, memory.data());
      ASSERT_LE(at + bytes, memory.data() + memory.size());
      ASSERT_EQ((at - memory.data()) % static_cast<std::ptrdiff_t>(kPage), 0);
      std::memset(at, i % 251, bytes);
      out.push_back({{at, bytes}, i % 251});
    } else if (!out.empty()) {
      const auto [piece, byte] = out.front();  // Compared at once: it is hundreds of megabytes.
      std::memset(due.data(), byte, piece.size());
      ASSERT_EQ(std::memcmp(piece.data(), due.data(), piece.size()), 0);
      ring.free_oldest();
      out.pop_front();
    }
  }
}

}  // namespace
}  // namespace sluice::nccl_plugin
