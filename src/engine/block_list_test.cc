#include "src/engine/block_list.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sluice {
namespace {

std::vector<std::byte> packed(const std::vector<Block>& blocks) {
  std::vector<std::byte> list;
  BlockPacker packer;
  packer.begin(list);
  for (const Block& block : blocks) packer.add(block);
  packer.finish();
  return list;
}

// Every byte of the list as (region, offset), in order.
std::vector<std::pair<std::uint32_t, std::uint64_t>> bytes_of(const std::vector<Block>& blocks) {
  std::vector<std::pair<std::uint32_t, std::uint64_t>> bytes;
  for (const Block& block : blocks) {
    for (std::uint64_t i = 0; i < block.length; ++i) {
      bytes.emplace_back(block.region, block.offset + i);
    }
  }
  return bytes;
}

std::vector<Block> walked(std::span<const std::byte> list, std::uint64_t most) {
  std::vector<Block> pieces;
  BlockWalk walk(list);
  for (Block piece; walk.next(most, piece);) pieces.push_back(piece);
  return pieces;
}

std::vector<Block> draw_blocks(std::mt19937_64& random) {
  std::vector<Block> blocks;
  const std::size_t runs = 1 + random() % 5;
  for (std::size_t run = 0; run < runs; ++run) {
    const auto region = static_cast<std::uint32_t>(random() % 3);
    const std::uint64_t length = random() % 5;
    const std::uint64_t base = random() % 1000;
    const std::uint64_t stride = random() % 3 == 0 ? length : random() % 9;
    const std::size_t count = random() % 9;
    const bool scattered = random() % 2 == 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t at = scattered ? random() % 500 * 4 : i * stride;
      blocks.push_back({region, base + at, random() % 8 == 0 ? random() % 7 : length});
    }
  }
  return blocks;
}

TEST(BlockList, WalksWhatWasPackedInPiecesOfAnySize) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const std::vector<Block> blocks = draw_blocks(random);
    const std::vector<std::byte> list = packed(blocks);
    const auto bytes = bytes_of(blocks);
    for (const std::uint64_t most : {std::uint64_t{1}, std::uint64_t{3}, UINT64_MAX}) {
      ASSERT_EQ(bytes_of(walked(list, most)), bytes) << "seed " << seed << " most " << most;
    }
    const std::uint64_t skipped = bytes.empty() ? 0 : random() % bytes.size();
    BlockWalk walk(list);
    walk.skip(skipped / 2);
    walk.skip(skipped - skipped / 2);
    BlockWalk again(list, walk.cursor());
    Block piece;
    ASSERT_EQ(again.next(1, piece), skipped < bytes.size()) << "seed " << seed;
    if (!bytes.empty()) {
      ASSERT_EQ(std::pair(piece.region, piece.offset), bytes[skipped]) << "seed " << seed;
    }
  }
}

TEST(BlockList, CheckSeesTotalsAndEveryBlockThatIsOutside) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const std::vector<Block> blocks = draw_blocks(random);
    const std::vector<std::byte> list = packed(blocks);
    std::vector<std::uint64_t> ends(3);
    std::uint64_t bytes = 0;
    for (const Block& block : blocks) {
      if (block.length == 0) continue;
      ends[block.region] = std::max(ends[block.region], block.offset + block.length);
      bytes += block.length;
    }
    BlockTotals totals;
    Block bad;
    ASSERT_EQ(check_blocks(list, ends, totals, bad), BlockAnswer::kGood) << "seed " << seed;
    ASSERT_EQ(totals.bytes, bytes) << "seed " << seed;
    for (std::uint32_t region = 0; region < 3; ++region) {
      if (ends[region] == 0) continue;
      std::vector<std::uint64_t> shorter = ends;
      --shorter[region];
      ASSERT_EQ(check_blocks(list, shorter, totals, bad), BlockAnswer::kOutside) << seed;
    }
  }
}

TEST(BlockList, HostileListsAreRefused) {
  const std::vector<std::uint64_t> regions{1000};
  BlockTotals totals;
  Block bad;
  const std::vector<std::byte> good = packed({{0, 0, 4}, {0, 40, 4}, {0, 8, 4}, {0, 200, 7}});
  for (std::size_t length = 1; length < good.size(); ++length) {
    const auto answer = check_blocks(std::span(good).first(length), regions, totals, bad);
    EXPECT_NE(answer == BlockAnswer::kGood && totals.bytes == 19, true) << length;
  }
  EXPECT_EQ(check_blocks(packed({{1, 0, 4}}), regions, totals, bad), BlockAnswer::kMalformed);
  // Sums that do not fit 64 bits.
  auto stride = [&](std::uint32_t count, std::uint64_t length, std::uint64_t base,
                    std::uint64_t unit) {
    std::vector<std::byte> list(31);
    ByteWriter writer(list);
    writer.u8(1);
    writer.u16(0);
    writer.u32(count);
    writer.u64(length);
    writer.u64(base);
    writer.u64(unit);
    return check_blocks(list, regions, totals, bad);
  };
  EXPECT_EQ(stride(3, 4, 0, 8), BlockAnswer::kGood);
  EXPECT_EQ(stride(0, 4, 0, 8), BlockAnswer::kMalformed);
  EXPECT_EQ(stride(3, 0, 0, 8), BlockAnswer::kMalformed);
  EXPECT_EQ(stride(3, 4, UINT64_MAX - 1, 8), BlockAnswer::kOutside);
  EXPECT_EQ(stride(UINT32_MAX, 4, 0, UINT64_MAX / 2), BlockAnswer::kOutside);
  EXPECT_EQ(stride(2, UINT64_MAX, 0, 0), BlockAnswer::kOutside);
}

TEST(BlockList, TakesFewBytesForManyBlocks) {
  constexpr std::uint64_t kBlock = 4096;
  constexpr std::size_t kBlocks = 100'000;
  std::vector<Block> contiguous;
  std::vector<Block> strided;
  std::vector<Block> random;
  std::vector<Block> uneven;
  std::mt19937_64 generator(1);
  for (std::size_t i = 0; i < kBlocks; ++i) {
    contiguous.push_back({0, i * kBlock, kBlock});
    strided.push_back({0, i * 3 * kBlock, kBlock});
    random.push_back({0, generator() % kBlocks * kBlock, kBlock});
    uneven.push_back({static_cast<std::uint32_t>(i % 7), generator() % (kBlocks * kBlock),
                      1 + generator() % kBlock});
  }
  EXPECT_LE(packed(contiguous).size(), 32u);
  EXPECT_LE(packed(strided).size(), 32u);
  EXPECT_LE(packed(random).size(), 4 * kBlocks + 64);
  EXPECT_LE(packed(uneven).size(), 16 * kBlocks);
}

}  // namespace
}  // namespace sluice
