#include "tests/support/bytes.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>

namespace sluice {

std::vector<std::byte> pattern(std::size_t count, std::uint64_t seed) {
  std::vector<std::byte> bytes(count);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (std::byte& b : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

std::vector<std::byte> random_bytes(std::size_t count, std::uint32_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> words((count + 7) / 8);
  std::ranges::generate(words, std::ref(random));
  std::vector<std::byte> bytes(count);
  if (count > 0) std::memcpy(bytes.data(), words.data(), count);
  return bytes;
}

::testing::AssertionResult same_bytes(std::span<const std::byte> one,
                                      std::span<const std::byte> other) {
  if (one.size() != other.size()) {
    return ::testing::AssertionFailure() << one.size() << " bytes and " << other.size();
  }
  if (one.empty() || std::memcmp(one.data(), other.data(), one.size()) == 0) {
    return ::testing::AssertionSuccess();
  }
  const auto at = std::ranges::mismatch(one, other);
  return ::testing::AssertionFailure() << "byte " << at.in1 - one.begin() << " of " << one.size()
                                       << " is " << std::to_integer<int>(*at.in1) << " in one and "
                                       << std::to_integer<int>(*at.in2) << " in the other";
}

}  // namespace sluice
