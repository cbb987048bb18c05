#include "tools/perf/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace sluice::perf {
namespace {

using ::testing::HasSubstr;

TEST(Buffer, IsPageAlignedTouchedAndMovable) {
  Result<Buffer> made = Buffer::allocate((4u << 20) + 1, Memory::kHost);
  ASSERT_TRUE(made.ok()) << made.status().message();
  Buffer buffer = made.take();
  ASSERT_GE(buffer.bytes().size(), (4u << 20) + 1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.bytes().data()) % 4096, 0u);
  EXPECT_EQ(buffer.bytes()[4096], std::byte{1});
  buffer.bytes().back() = std::byte{7};
  std::byte* const data = buffer.bytes().data();
  Buffer other = std::move(buffer);
  EXPECT_EQ(other.bytes().data(), data);
  EXPECT_EQ(other.bytes().back(), std::byte{7});
}

TEST(Buffer, LetsOthersWorkWhileItTouches) {
  int calls = 0;
  const auto count = [&]() -> Status {
    return ++calls == 2 ? Status(StatusCode::kClosed, "") : Status();
  };
  EXPECT_TRUE(Buffer::allocate(64u << 20, Memory::kHost, count).ok());
  EXPECT_EQ(calls, 1);
  const Result<Buffer> stopped = Buffer::allocate(256u << 20, Memory::kHost, count);
  EXPECT_EQ(stopped.status().code(), StatusCode::kClosed);
  EXPECT_EQ(calls, 2);
}

TEST(Buffer, RefusalSaysHowMuch) {
  const Result<Buffer> huge = Buffer::allocate(std::size_t{1} << 60, Memory::kHost);
  ASSERT_FALSE(huge.ok());
  EXPECT_EQ(huge.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(huge.status().message()), HasSubstr("1152921504606846976 bytes"));
}

TEST(ChooseMemory, SaysWhatIsMeasuredInstead) {
  EXPECT_EQ(*choose_memory(-1), Memory::kHost);
  EXPECT_EQ(choose_memory(3).status().message(), "gpu 3: no CUDA device here");
}

}  // namespace
}  // namespace sluice::perf
