#include "src/base/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string_view>
#include <vector>

namespace sluice {
namespace {

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  return crc32c_of(crc32c_remainder(bytes), bytes.size());
}

std::vector<std::byte> random_bytes(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A bit at a time, as the polynomial is defined.
std::uint32_t slow_crc32c(std::span<const std::byte> bytes) {
  std::uint32_t crc = UINT32_MAX;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<std::uint32_t>(byte);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCrc32cGenerator : 0);
  }
  return ~crc;
}

// RFC 3720, appendix B.4.
TEST(Crc32c, GivesThePublishedValues) {
  std::vector<std::byte> bytes(32);
  EXPECT_EQ(crc32c(bytes), 0x8a9136aau);
  std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
  EXPECT_EQ(crc32c(bytes), 0x62a8ab43u);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(bytes), 0x46dd794eu);
  const std::string_view digits = "123456789";
  EXPECT_EQ(crc32c(std::as_bytes(std::span(digits))), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, OfAnyLengthAndAlignment) {
  const std::vector<std::byte> bytes = random_bytes(5000, 1);
  for (std::size_t length = 0; length < 300; ++length) {
    for (std::size_t offset = 0; offset < 17; ++offset) {
      const auto part = std::span(bytes).subspan(offset, length);
      ASSERT_EQ(crc32c(part), slow_crc32c(part)) << length << " at " << offset;
    }
  }
  EXPECT_EQ(crc32c(bytes), slow_crc32c(bytes));
}

TEST(Crc32c, PartsInAnyOrderGiveTheWhole) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const std::vector<std::byte> bytes =
        random_bytes(1 + random() % 20'000, static_cast<std::uint32_t>(round));
    std::vector<std::size_t> cuts{0, bytes.size()};
    for (std::size_t i = random() % 6; i > 0; --i) cuts.push_back(random() % bytes.size());
    std::sort(cuts.begin(), cuts.end());
    std::uint32_t sum = 0;
    for (std::size_t i = cuts.size() - 1; i > 0; --i) {  // The last part first.
      const auto part = std::span(bytes).subspan(cuts[i - 1], cuts[i] - cuts[i - 1]);
      sum ^= crc32c_shifted(crc32c_remainder(part), bytes.size() - cuts[i]);
    }
    ASSERT_EQ(sum, crc32c_remainder(bytes));
    const auto half = bytes.size() / 2;
    ASSERT_EQ(sum, crc32c_remainder(std::span(bytes).subspan(half),
                                    crc32c_remainder(std::span(bytes).first(half))));
  }
}

TEST(Crc32c, ShiftsByMoreThanMemoryHolds) {
  const std::uint32_t one = crc32c_remainder(random_bytes(100, 3));
  const std::uint64_t far = (1ull << 40) + 12345;
  EXPECT_EQ(crc32c_shifted(crc32c_shifted(one, far), far), crc32c_shifted(one, 2 * far));
  EXPECT_EQ(crc32c_shifted(one, 0), one);
  // The powers of x repeat after 2^31 - 1.
  EXPECT_EQ(crc32c_shifted(one, (1ull << 31) - 1), one);
}

}  // namespace
}  // namespace sluice
