#include "src/engine/batches.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace sluice {
namespace {

// Does its first `good` pieces of work, and then nothing any more.
class FailingGpu final : public Gpu {
 public:
  explicit FailingGpu(std::uint64_t good) : good_(good) {}

  [[nodiscard]] const std::string& description() const override { return description_; }
  std::uint64_t unpack(std::span<const Unpack>) override { return ++last_; }
  std::uint64_t pack(std::span<const Piece>) override { return ++last_; }
  std::uint64_t checksum(std::span<const Checksum>) override { return ++last_; }
  GpuAnswer test(std::uint64_t ticket) override {
    return ticket <= good_ ? GpuAnswer::kDone : GpuAnswer::kFailed;
  }
  [[nodiscard]] Status failure() const override {
    return last_ <= good_ ? Status() : Status(StatusCode::kSystem, "it has failed");
  }
  Result<GpuMemory> allocate_pinned(std::size_t) override { return GpuMemory(); }
  Result<GpuMemory> allocate_device(std::size_t) override { return GpuMemory(); }
  [[nodiscard]] Status check_device(std::span<const std::byte>) const override { return {}; }
  Status read_device(std::span<std::byte>, const void*) override { return {}; }

 private:
  const std::string description_ = "a GPU that fails";
  const std::uint64_t good_;
  std::uint64_t last_ = 0;
};

// Whoever waits for room, or for a batch, does not wait for ever.
TEST(Batches, AGpuThatHasFailedKeepsNobodyWaiting) {
  FailingGpu gpu(2);
  SumBatch sums(4);
  sums.open();
  std::uint32_t into = 0;
  for (std::uint64_t number = 1; number <= 1000; ++number) {
    ASSERT_FALSE(sums.full()) << number;
    ASSERT_EQ(sums.end(&into), number);
    ASSERT_TRUE(sums.launch(gpu));
    EXPECT_EQ(sums.test(gpu, number), number <= 2 ? GpuAnswer::kDone : GpuAnswer::kFailed);
  }
  EXPECT_EQ(sums.test(gpu, 1), GpuAnswer::kDone);
  EXPECT_FALSE(sums.pending(gpu));
}

TEST(Batches, SumsTakeSoManyPiecesAPass) {
  FailingGpu gpu(1000);
  SumBatch sums(4);
  sums.open();
  const std::array<std::byte, 8> bytes{};
  std::uint32_t into = 0;
  for (int i = 0; i < 3; ++i) sums.add(bytes);
  sums.end(&into);
  EXPECT_FALSE(sums.full());
  for (int i = 0; i < 3; ++i) sums.add(bytes);  // Of a chunk that has several.
  sums.end(&into);
  EXPECT_TRUE(sums.full());
  EXPECT_TRUE(sums.launch(gpu));
  EXPECT_FALSE(sums.full());
}

}  // namespace
}  // namespace sluice
