// Every Gpu against a CPU reference. Those of CUDA are skipped, and say so, where there is none.
#include "src/gpu/gpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "src/gpu/gpu_fixture.h"

namespace sluice {
namespace {

using testing::HasSubstr;

constexpr std::byte kGuard{0xa5};
constexpr std::size_t kGuardBytes = 64;

// Every alignment of both ends, at lengths around what a lane, a warp and a unit copy: copied and
// nothing around them touched.
TEST_P(GpuTest, CopiesEveryAlignmentAndTouchesNothingElse) {
  constexpr std::size_t kLengths[] = {0,   1,   3,   15,  16,   17,   31,   33,   47,   64,   65,
                                      255, 511, 512, 527, 1023, 2050, 4080, 4095, 4096, 4097, 8191};
  constexpr std::size_t kSlot = 8192 + 64;
  std::mt19937_64 random(1);
  for (const std::size_t length : kLengths) {
    const GpuMemory source = device(16 * kSlot);
    const GpuMemory target = device(256 * kSlot);
    const Bytes content = random_bytes(source.bytes().size(), random);
    Bytes expected(target.bytes().size(), kGuard);
    put(source.bytes(), content);
    put(target.bytes(), expected);
    std::vector<Piece> pieces;
    for (std::size_t from = 0; from < 16; ++from) {
      for (std::size_t to = 0; to < 16; ++to) {
        const std::size_t source_at = from * kSlot + from;
        const std::size_t target_at = (from * 16 + to) * kSlot + 16 + to;
        pieces.push_back(
            {source.bytes().data() + source_at, target.bytes().data() + target_at, length});
        std::memcpy(expected.data() + target_at, content.data() + source_at, length);
      }
    }
    do_something_small();
    ASSERT_TRUE(finish(*gpu_, gpu_->pack(pieces)));
    const Bytes found = get(target.bytes());
    const auto [a, b] = std::mismatch(found.begin(), found.end(), expected.begin());
    ASSERT_EQ(a - found.begin(), static_cast<long>(found.size())) << "length " << length;
  }
}

// A piece that ends where its allocation does: a byte read behind it would be an error under
// compute-sanitizer.
TEST_P(GpuTest, ReadsNoByteOutsideOfAPiece) {
  std::mt19937_64 random(2);
  for (std::size_t shift = 0; shift < 16; ++shift) {
    const std::size_t length = 3 * 4096 + shift;
    const GpuMemory source = device(length);
    const GpuMemory target = device(length);
    const Bytes content = random_bytes(length, random);
    put(source.bytes(), content);
    put(target.bytes(), Bytes(length, kGuard));
    // From `shift` on to the front: another alignment, and both ends of the source at its border.
    const Piece piece{source.bytes().data() + shift, target.bytes().data(), length - shift};
    do_something_small();
    ASSERT_TRUE(finish(*gpu_, gpu_->pack({&piece, 1})));
    const Bytes found = get(target.bytes());
    ASSERT_TRUE(
        std::equal(content.begin() + static_cast<long>(shift), content.end(), found.begin()))
        << "shift " << shift;
  }
}

struct Scatter {
  std::vector<std::vector<Fragment>> fragments;  // By chunk.
  std::vector<std::size_t> lengths;
};

// Cuts chunks into fragments of random lengths, up to `longest`, at random places of the pool.
Scatter scatter(std::size_t chunks, std::size_t most, std::size_t longest, std::size_t pool_bytes,
                std::mt19937_64& random) {
  Scatter result;
  for (std::size_t c = 0; c < chunks; ++c) {
    const std::uint64_t bytes = random() % most;
    std::vector<Fragment> fragments;
    for (std::uint64_t at = 0; at < bytes;) {
      const std::uint64_t length = std::min(bytes - at, random() % longest);
      fragments.push_back({random() % (pool_bytes - length + 1), length, at});
      at += length;
    }
    std::shuffle(fragments.begin(), fragments.end(), random);
    result.fragments.push_back(fragments);
    result.lengths.push_back(bytes);
  }
  return result;
}

class GpuUnpack : public GpuTest {
 protected:
  // Unpacks random chunks out of `pool`, one batch, and compares with the same done here.
  void round(const GpuMemory& pool, const Bytes& content, std::size_t longest,
             std::mt19937_64& random) {
    constexpr std::size_t kChunks = 12;
    constexpr std::size_t kMost = 200'000;
    const std::size_t stride = kMost + 2 * kGuardBytes + random() % 16;
    const GpuMemory target = device(kChunks * stride);
    Bytes expected(target.bytes().size(), kGuard);
    put(target.bytes(), expected);
    const Scatter plan = scatter(kChunks, kMost, longest, content.size(), random);
    std::vector<Unpack> batch;
    for (std::size_t c = 0; c < kChunks; ++c) {
      const std::size_t start = c * stride + kGuardBytes;
      batch.push_back(
          {plan.fragments[c], pool.bytes(), target.bytes().subspan(start, plan.lengths[c])});
      for (const Fragment& f : plan.fragments[c]) {
        std::memcpy(expected.data() + start + f.destination_offset, content.data() + f.pool_offset,
                    f.length);
      }
    }
    do_something_small();
    ASSERT_TRUE(finish(*gpu_, gpu_->unpack(batch)));
    const Bytes found = get(target.bytes());
    const auto [a, b] = std::mismatch(found.begin(), found.end(), expected.begin());
    ASSERT_EQ(a - found.begin(), static_cast<long>(found.size()));
  }
};

TEST_P(GpuUnpack, RandomFragmentsOfAPinnedPool) {
  std::mt19937_64 random(3);
  const GpuMemory pool = pinned(1 << 20);
  const Bytes content = random_bytes(pool.bytes().size(), random);
  std::copy(content.begin(), content.end(), pool.bytes().begin());
  for (const std::size_t longest : {64u, 5000u, 5000u, 150'000u, 5000u}) {
    round(pool, content, longest, random);
    if (HasFatalFailure()) return;
  }
}

TEST_P(GpuUnpack, RandomFragmentsOfADevicePool) {
  std::mt19937_64 random(4);
  const GpuMemory pool = device(1 << 20);
  const Bytes content = random_bytes(pool.bytes().size(), random);
  put(pool.bytes(), content);
  for (const std::size_t longest : {64u, 5000u, 150'000u}) {
    round(pool, content, longest, random);
    if (HasFatalFailure()) return;
  }
}

// More fragments in one batch than the list has places.
TEST_P(GpuUnpack, ABatchLongerThanTheList) {
  constexpr std::size_t kFragments = 200'000;
  std::mt19937_64 random(5);
  const GpuMemory pool = pinned(64 << 10);
  const Bytes content = random_bytes(pool.bytes().size(), random);
  std::copy(content.begin(), content.end(), pool.bytes().begin());
  const GpuMemory target = device(kFragments * 8);
  std::vector<Fragment> fragments;
  Bytes expected(kFragments * 8);
  for (std::size_t i = 0; i < kFragments; ++i) {
    fragments.push_back({random() % (content.size() - 8), 8, i * 8});
    std::memcpy(expected.data() + i * 8, content.data() + fragments[i].pool_offset, 8);
  }
  const Unpack chunk{fragments, pool.bytes(), target.bytes()};
  ASSERT_TRUE(finish(*gpu_, gpu_->unpack({&chunk, 1})));
  ASSERT_TRUE(get(target.bytes()) == expected);
}

TEST_P(GpuTest, GathersScatteredBlocksIntoPinnedMemory) {
  constexpr std::size_t kBlocks = 500;
  constexpr std::size_t kBlock = 3000;
  std::mt19937_64 random(6);
  const GpuMemory source = device(kBlocks * kBlock * 2);
  const GpuMemory staging = pinned(kBlocks * kBlock);
  const Bytes content = random_bytes(source.bytes().size(), random);
  put(source.bytes(), content);
  std::vector<std::size_t> order(kBlocks);
  for (std::size_t i = 0; i < kBlocks; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    pieces.push_back({source.bytes().data() + order[i] * 2 * kBlock,
                      staging.bytes().data() + i * kBlock, kBlock});
  }
  ASSERT_TRUE(finish(*gpu_, gpu_->pack(pieces)));
  for (std::size_t i = 0; i < kBlocks; ++i) {  // The host reads it as soon as it is Done.
    ASSERT_EQ(0, std::memcmp(staging.bytes().data() + i * kBlock,
                             content.data() + order[i] * 2 * kBlock, kBlock))
        << "block " << i;
  }
}

// Many in flight, of both kinds: each ticket's bytes are there when it is Done, and tickets of a
// kind finish in order.
TEST_P(GpuTest, TicketsFinishInOrderWithTheirBytes) {
  constexpr std::size_t kTickets = 300;
  constexpr std::size_t kBytes = 100'000;
  std::mt19937_64 random(7);
  const GpuMemory source = device(kBytes);
  const Bytes content = random_bytes(kBytes, random);
  put(source.bytes(), content);
  const GpuMemory staging = pinned(kTickets * 8);
  std::memset(staging.bytes().data(), 0, kTickets * 8);
  const GpuMemory target = device(kTickets * 8);
  std::vector<std::uint64_t> packs;
  std::vector<std::uint64_t> unpacks;
  for (std::size_t i = 0; i < kTickets; ++i) {
    const Fragment whole{i * 24, 8, 0};
    const Piece piece{source.bytes().data() + i * 16, staging.bytes().data() + i * 8, 8};
    packs.push_back(gpu_->pack({&piece, 1}));
    const Unpack chunk{{&whole, 1}, source.bytes(), target.bytes().subspan(i * 8, 8)};
    unpacks.push_back(gpu_->unpack({&chunk, 1}));
    ASSERT_NE(packs.back(), 0u);
    ASSERT_NE(unpacks.back(), 0u);
  }
  ASSERT_TRUE(finish(*gpu_, unpacks.back()));
  const Bytes found = get(target.bytes());
  for (std::size_t i = 0; i < kTickets; ++i) {
    ASSERT_EQ(0, std::memcmp(found.data() + i * 8, content.data() + i * 24, 8));
    ASSERT_EQ(gpu_->test(unpacks[i]), GpuAnswer::kDone) << "the last one is";
    ASSERT_TRUE(finish(*gpu_, packs[i]));
    ASSERT_EQ(0, std::memcmp(staging.bytes().data() + i * 8, content.data() + i * 16, 8));
  }
}

// A window of work that is always full, in slots that are used again as soon as they are Done: what
// is given while other work runs, or is on its way to the GPU, is not lost, nor done twice, nor
// told early. More pieces in all than a list has places.
TEST_P(GpuTest, WorkComesWhileOtherWorkRuns) {
  constexpr std::size_t kWork = 4000;
  constexpr std::size_t kSlots = 48;
  constexpr std::size_t kMostPieces = 40;
  constexpr std::size_t kMostPiece = 3000;
  constexpr std::size_t kSlot = kMostPieces * kMostPiece;
  std::mt19937_64 random(8);
  const GpuMemory source = device(1 << 20);
  const Bytes content = random_bytes(source.bytes().size(), random);
  put(source.bytes(), content);
  const GpuMemory staging = pinned(kSlots * kSlot);
  std::memset(staging.bytes().data(), 0, staging.bytes().size());
  struct Given {
    std::uint64_t ticket = 0;
    std::vector<Piece> pieces;
  };
  std::vector<Given> given(kSlots);
  const auto expect_done = [&](Given& work) {
    ASSERT_TRUE(finish(*gpu_, work.ticket));
    for (const Piece& piece : work.pieces) {
      ASSERT_EQ(0, std::memcmp(piece.to, content.data() + (piece.from - source.bytes().data()),
                               piece.length));
    }
  };
  for (std::size_t i = 0; i < kWork + kSlots; ++i) {
    Given& work = given[i % kSlots];
    if (work.ticket != 0) expect_done(work);
    if (HasFatalFailure()) FAIL() << "work " << i - kSlots;
    if (i >= kWork) continue;
    work.pieces.resize(1 + random() % (i % 7 == 0 ? kMostPieces : 3));
    std::byte* to = staging.bytes().data() + i % kSlots * kSlot;
    for (Piece& piece : work.pieces) {
      const std::size_t length = 1 + random() % kMostPiece;
      piece = {source.bytes().data() + random() % (content.size() - length), to, length};
      to += length;
    }
    work.ticket = gpu_->pack(work.pieces);
  }
}

TEST_P(GpuTest, NothingIsAPieceToo) {
  const Piece nothing{nullptr, nullptr, 0};
  const Unpack empty[] = {{{}, {}, {}}, {{}, {}, {}}};
  EXPECT_TRUE(finish(*gpu_, gpu_->pack({&nothing, 1})));
  EXPECT_TRUE(finish(*gpu_, gpu_->unpack(empty)));
  EXPECT_TRUE(gpu_->allocate_pinned(0).ok());
  EXPECT_TRUE(gpu_->allocate_device(0).ok());
}

TEST_P(GpuTest, KnowsItsOwnMemory) {
  const GpuMemory memory = device(1000);
  EXPECT_TRUE(gpu_->check_device(memory.bytes()).ok());
  EXPECT_TRUE(gpu_->check_device({}).ok());
  if (!GetParam().cuda) return;  // There, host memory poses as the GPU's.
  const GpuMemory host = pinned(1000);
  const Bytes ordinary(1000);
  const std::span<const std::byte> wrongs[] = {host.bytes(), ordinary};
  for (const auto wrong : wrongs) {
    const Status status = gpu_->check_device(wrong);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("is host memory"));
  }
}

TEST(CudaGpu, ADeviceThatIsNotThereIsAnError) {
  const auto gpu = open_cuda_gpu({.index = 1000});
  ASSERT_FALSE(gpu.ok());
  const std::string message(gpu.status().message());
  if (gpu.status().code() == StatusCode::kUnavailable) GTEST_SKIP() << message;
  EXPECT_EQ(gpu.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(message, HasSubstr("gpu 1000"));
}

TEST(CudaGpu, TellsWhatIsThere) { EXPECT_THAT(describe_cuda(), HasSubstr("CUDA")); }

INSTANTIATE_TEST_SUITE_P(Every, GpuTest, testing::ValuesIn(kGpuCases), name_of);
INSTANTIATE_TEST_SUITE_P(Every, GpuUnpack, testing::ValuesIn(kGpuCases), name_of);

}  // namespace
}  // namespace sluice
