// Checksums of every Gpu against crc32c_remainder() of the same bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "src/base/crc32c.h"
#include "src/gpu/gpu_fixture.h"

namespace sluice {
namespace {

using Spans = std::vector<std::span<const std::byte>>;
constexpr std::uint32_t kUntouched = 0xa5a5a5a5;

class GpuChecksum : public GpuTest {
 protected:
  // Memory with content that a test also has on the host.
  struct Known {
    GpuMemory memory;
    Bytes content;

    // The same part of both.
    [[nodiscard]] std::span<const std::byte> part(std::size_t at, std::size_t length) const {
      return memory.bytes().subspan(at, length);
    }
    [[nodiscard]] std::span<const std::byte> here(std::size_t at, std::size_t length) const {
      return std::span(content).subspan(at, length);
    }
  };

  Known known(GpuMemory memory, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Bytes content(memory.bytes().size());
    for (std::size_t at = 0; at < content.size(); at += sizeof(std::uint64_t)) {
      const std::uint64_t value = random();
      std::memcpy(content.data() + at, &value, std::min(sizeof(value), content.size() - at));
    }
    put(memory.bytes(), content);
    return {std::move(memory), std::move(content)};
  }
  // Pinned words that nobody has written: for remainders, and for what lies around them.
  std::span<std::uint32_t> words(std::size_t count) {
    words_.push_back(pinned(count * sizeof(std::uint32_t)));
    auto* const first = reinterpret_cast<std::uint32_t*>(words_.back().bytes().data());
    std::fill_n(first, count, kUntouched);
    return {first, count};
  }
  testing::AssertionResult take(std::span<const Checksum> batch) {
    return finish(*gpu_, gpu_->checksum(batch));
  }

 private:
  std::vector<GpuMemory> words_;
};

TEST_P(GpuChecksum, OfEveryAlignmentAndLength) {
  constexpr std::size_t kAlignments = 32;
  constexpr std::size_t kLengths = 601;
  const Known source = known(device(kAlignments + kLengths), 1);
  const auto into = words(kAlignments * kLengths);
  Spans pieces;
  for (std::size_t i = 0; i < into.size(); ++i) {
    pieces.push_back(source.part(i % kAlignments, i / kAlignments));
  }
  std::vector<Checksum> batch;
  for (std::size_t i = 0; i < into.size(); ++i) batch.push_back({{&pieces[i], 1}, &into[i]});
  ASSERT_TRUE(take(batch));
  for (std::size_t i = 0; i < into.size(); ++i) {
    ASSERT_EQ(into[i], crc32c_remainder(source.here(i % kAlignments, i / kAlignments)))
        << i / kAlignments << " at " << i % kAlignments;
  }
}

// Both ends at a border: a word read around an allocation is an error under compute-sanitizer.
TEST_P(GpuChecksum, OfWholeAllocations) {
  for (const std::size_t length : {1u, 15u, 16u, 511u, 4096u, 8191u, 8192u, 8193u, 100'003u}) {
    const Known source = known(device(length), length);
    const auto into = words(1);
    const std::span<const std::byte> whole = source.part(0, length);
    const Checksum sum{{&whole, 1}, into.data()};
    ASSERT_TRUE(take({&sum, 1}));
    EXPECT_EQ(into[0], crc32c_remainder(source.content)) << length;
  }
}

TEST_P(GpuChecksum, RandomPiecesOfBothMemories) {
  std::mt19937_64 random(3);
  const std::array<Known, 2> sources{known(device(1 << 20), 4), known(pinned(1 << 20), 5)};
  for (int round = 0; round < 20; ++round) {
    const std::size_t longest = 1u << random() % 18;
    std::vector<Spans> lists(1 + random() % 12);
    std::vector<std::uint32_t> expected(lists.size());
    for (std::size_t i = 0; i < lists.size(); ++i) {
      for (std::size_t count = random() % 40; count > 0; --count) {
        const Known& source = sources[random() % 2];
        const std::size_t length = random() % 5 == 0 ? 0 : random() % longest;
        const std::size_t at = random() % (source.content.size() - length);
        lists[i].push_back(source.part(at, length));
        expected[i] = crc32c_remainder(source.here(at, length), expected[i]);
      }
    }
    const auto into = words(2 * lists.size() + 1);  // Every other one is not ours.
    std::vector<Checksum> batch;
    for (std::size_t i = 0; i < lists.size(); ++i) batch.push_back({lists[i], &into[2 * i + 1]});
    const std::uint64_t ticket = gpu_->checksum(batch);
    ASSERT_NE(ticket, 0u);
    batch.clear();  // They are read before it returns.
    for (Spans& list : lists) list.assign(list.size(), {});
    ASSERT_TRUE(finish(*gpu_, ticket));
    for (std::size_t i = 0; i < into.size(); ++i) {
      ASSERT_EQ(into[i], i % 2 == 1 ? expected[i / 2] : kUntouched) << "round " << round;
    }
  }
}

TEST_P(GpuChecksum, OfNothingIsZero) {
  const Known source = known(device(64), 6);
  const Spans empties(3, source.part(5, 0));
  const Spans nowhere(2);
  const Spans one{{}, source.part(3, 9), source.part(0, 0)};
  const auto into = words(4);
  const Checksum batch[] = {
      {{}, &into[0]}, {empties, &into[1]}, {nowhere, &into[2]}, {one, &into[3]}};
  ASSERT_TRUE(take(batch));
  EXPECT_EQ(into[0], 0u);
  EXPECT_EQ(into[1], 0u);
  EXPECT_EQ(into[2], 0u);
  EXPECT_EQ(into[3], crc32c_remainder(source.here(3, 9)));
}

TEST_P(GpuChecksum, Of64MiBInOnePiece) {
  const Known source = known(device(64 << 20), 7);
  const auto into = words(2);
  const std::span<const std::byte> pieces[] = {source.part(0, 64 << 20),
                                               source.part(3, (64 << 20) - 3)};
  const Checksum batch[] = {{{&pieces[0], 1}, &into[0]}, {{&pieces[1], 1}, &into[1]}};
  ASSERT_TRUE(take(batch));
  EXPECT_EQ(into[0], crc32c_remainder(source.content));
  EXPECT_EQ(into[1], crc32c_remainder(source.here(3, (64 << 20) - 3)));
}

// More units than the list has places, in one Checksum and in many, which are then split over
// launches.
TEST_P(GpuChecksum, ABatchLongerThanTheList) {
  constexpr std::size_t kPieces = 100'000;
  std::mt19937_64 random(8);
  const Known source = known(device(64 << 10), 9);
  Spans pieces;
  Bytes gathered;
  for (std::size_t i = 0; i < kPieces; ++i) {
    const std::size_t length = 1 + i % 3;
    const std::size_t at = random() % (source.content.size() - length);
    pieces.push_back(source.part(at, length));
    gathered.insert(gathered.end(), source.content.begin() + static_cast<long>(at),
                    source.content.begin() + static_cast<long>(at + length));
  }
  const auto into = words(21);
  std::vector<Checksum> batch{{pieces, &into[0]}};
  for (std::size_t i = 1; i < into.size(); ++i) {
    batch.push_back({std::span(pieces).first(i * 5000), &into[i]});
  }
  ASSERT_TRUE(take(batch));
  EXPECT_EQ(into[0], crc32c_remainder(gathered));
  for (std::size_t i = 1; i < into.size(); ++i) {
    std::size_t bytes = 0;
    for (const auto piece : batch[i].pieces) bytes += piece.size();
    ASSERT_EQ(into[i], crc32c_remainder(std::span(gathered).first(bytes))) << i;
  }
}

// All started before the first is looked at; each result is there when its ticket is Done, and
// tickets finish in order.
TEST_P(GpuChecksum, AThousandBatchesInFlight) {
  constexpr std::size_t kBatches = 1000;
  constexpr std::size_t kStride = 97;
  const Known source = known(device(200'000), 10);
  const auto into = words(2 * kBatches);
  std::vector<std::uint64_t> tickets;
  const auto length = [](std::size_t i) { return i * 131 % 20'000; };
  for (std::size_t i = 0; i < kBatches; ++i) {
    const std::span<const std::byte> pieces[] = {source.part(i * kStride, length(i)),
                                                 source.part(i, 10)};
    const Checksum batch[] = {{pieces, &into[2 * i]}, {{&pieces[1], 1}, &into[2 * i + 1]}};
    tickets.push_back(gpu_->checksum(batch));
  }
  for (std::size_t i = 0; i < kBatches; ++i) {
    ASSERT_TRUE(finish(*gpu_, tickets[i]));
    const std::uint32_t ten = crc32c_remainder(source.here(i, 10));
    ASSERT_EQ(into[2 * i], crc32c_remainder(source.here(i, 10),
                                            crc32c_remainder(source.here(i * kStride, length(i)))))
        << "batch " << i;
    ASSERT_EQ(into[2 * i + 1], ten) << "batch " << i;
  }
  for (const std::uint64_t ticket : tickets) ASSERT_EQ(gpu_->test(ticket), GpuAnswer::kDone);
}

TEST_P(GpuChecksum, BesideUnpacksAndPacks) {
  constexpr std::size_t kRounds = 50;
  constexpr std::size_t kBytes = 300'000;
  const Known source = known(device(kBytes), 11);
  const GpuMemory target = device(kRounds * kBytes);
  const GpuMemory staging = pinned(kRounds * kBytes);
  const auto into = words(kRounds);
  const std::span<const std::byte> whole = source.part(0, kBytes);
  const Fragment all{0, kBytes, 0};
  std::array<std::uint64_t, 3> last{};
  for (std::size_t i = 0; i < kRounds; ++i) {
    const Checksum sum{{&whole, 1}, &into[i]};
    const Unpack chunk{
        {&all, 1}, source.memory.bytes(), target.bytes().subspan(i * kBytes, kBytes)};
    const Piece piece{whole.data(), staging.bytes().data() + i * kBytes, kBytes};
    last = {gpu_->checksum({&sum, 1}), gpu_->unpack({&chunk, 1}), gpu_->pack({&piece, 1})};
    EXPECT_NE(last[0], last[1]);
    EXPECT_NE(last[1], last[2]);
  }
  for (const std::uint64_t ticket : last) ASSERT_TRUE(finish(*gpu_, ticket));
  const std::uint32_t expected = crc32c_remainder(source.content);
  for (const std::uint32_t sum : into) ASSERT_EQ(sum, expected);
  const Bytes unpacked = get(target.bytes());
  for (std::size_t at = 0; at < kRounds * kBytes; at += kBytes) {
    EXPECT_EQ(crc32c_remainder(staging.bytes().subspan(at, kBytes)), expected);
    EXPECT_EQ(crc32c_remainder(std::span(unpacked).subspan(at, kBytes)), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, GpuChecksum, testing::ValuesIn(kGpuCases), name_of);

}  // namespace
}  // namespace sluice
