#include "tools/perf/pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace sluice::perf {
namespace {

std::vector<std::byte> message(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> bytes(size);
  fill_pattern(bytes, seed, 0);
  return bytes;
}

TEST(Pattern, EverySingleChangedByteIsFound) {
  for (const std::size_t size : {1u, 7u, 8u, 9u, 16u, 1003u}) {
    std::vector<std::byte> bytes = message(size, 42);
    EXPECT_FALSE(find_difference(bytes, 42, 0).has_value());
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] ^= std::byte{0x10};
      EXPECT_EQ(find_difference(bytes, 42, 0), i);
      bytes[i] ^= std::byte{0x10};
    }
  }
  EXPECT_FALSE(find_difference({}, 42, 0).has_value());
}

TEST(Pattern, PiecesMakeTheWhole) {
  const std::vector<std::byte> whole = message(1003, 7);
  std::vector<std::byte> pieces(whole.size());
  for (std::size_t at = 0; at < whole.size(); at += 136) {
    const std::size_t length = std::min<std::size_t>(136, whole.size() - at);
    fill_pattern(std::span(pieces).subspan(at, length), 7, at);
    EXPECT_FALSE(find_difference(std::span(whole).subspan(at, length), 7, at).has_value());
  }
  EXPECT_EQ(pieces, whole);
}

TEST(Pattern, StaleOrSwappedMessagesDiffer) {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t run = 0; run < 8; ++run) {
    for (std::uint64_t stream = 0; stream < 2; ++stream) {
      for (std::uint64_t i = 0; i < 64; ++i) seeds.insert(message_seed(run, stream, i));
    }
  }
  EXPECT_EQ(seeds.size(), 8u * 2u * 64u);
  const std::vector<std::byte> old = message(64, message_seed(1, 0, 0));
  EXPECT_TRUE(find_difference(old, message_seed(1, 0, 1), 0).has_value());
  // Bytes that arrived 8 too early are found too.
  EXPECT_EQ(find_difference(std::span(old).subspan(8), message_seed(1, 0, 0), 0), 0u);
}

}  // namespace
}  // namespace sluice::perf
