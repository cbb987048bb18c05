#include "src/net/plugin/device_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstdint>

namespace sluice {
namespace {

constexpr std::string_view kMaps =
    "1000-3000 r--p 00000000 fe:01 1 /a\n"
    "3000-4000 rw-p 00000000 00:00 0\n"
    "4000-5000 ---p 00000000 00:00 0\n"
    "6000-7000 rw-p 00000000 00:00 0 [heap]\n"
    "7fff00000000-ffffffffff600000 rw-p 00000000 00:00 0";

TEST(ReadableBytes, GoOnOverMappingsThatMeet) {
  EXPECT_EQ(readable_bytes(kMaps, 0x1000, 1 << 20), 0x3000u);
  EXPECT_EQ(readable_bytes(kMaps, 0x3fff, 1 << 20), 1u);
  EXPECT_EQ(readable_bytes(kMaps, 0x2800, 0x900), 0x900u);
}

TEST(ReadableBytes, AreNoneWhereNothingIsMappedOrReadable) {
  for (const std::uint64_t base : {0x0u, 0xfffu, 0x4000u, 0x5000u, 0x7000u}) {
    EXPECT_EQ(readable_bytes(kMaps, base, 100), 0u) << base;
  }
  EXPECT_EQ(readable_bytes("", 0x1000, 100), 0u);
  EXPECT_EQ(readable_bytes("nonsense\n\n1000-\n1000-2000", 0x1000, 100), 0u);
}

class Pages : public testing::Test {
 protected:
  void SetUp() override {
    // Two pages, and one behind them that cannot be read.
    base = static_cast<std::byte*>(
        ::mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_EQ(::mprotect(base + 2 * kPage, kPage, PROT_NONE), 0);
  }
  void TearDown() override { ::munmap(base, 3 * kPage); }
  static constexpr std::size_t kPage = 4096;
  std::byte* base = nullptr;
};

TEST_F(Pages, HostMemoryPlaysTheDevice) {
  const DeviceMemory memory;
  base[2 * kPage - 1] = std::byte{42};
  std::array<std::byte, 24> into{};
  ASSERT_TRUE(memory.read(into.data(), base + 2 * kPage - 24, 24).ok());
  EXPECT_EQ(into[23], std::byte{42});
  EXPECT_EQ(memory.extent(base + 100, 1ul << 32), 2 * kPage - 100);
  EXPECT_EQ(memory.extent(base, kPage), kPage);
}

TEST_F(Pages, WhatCannotBeReadIsAnErrorAndNoCrash) {
  const DeviceMemory memory;
  std::array<std::byte, 24> into{};
  for (const void* from :
       {static_cast<const void*>(nullptr), static_cast<const void*>(base + 2 * kPage - 23),
        reinterpret_cast<const void*>(UINTPTR_MAX - 10)}) {
    EXPECT_EQ(memory.read(into.data(), from, 24).code(), StatusCode::kSystem) << from;
  }
  EXPECT_EQ(memory.extent(nullptr, 100), 0u);
}

}  // namespace
}  // namespace sluice
