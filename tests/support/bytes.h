// Bytes for tests, made and compared in a file of their own: test programs are not optimised, and
// some go through hundreds of megabytes.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice {

// Bytes that tell where they belong.
[[nodiscard]] std::vector<std::byte> pattern(std::size_t count, std::uint64_t seed);
[[nodiscard]] std::vector<std::byte> random_bytes(std::size_t count, std::uint32_t seed);

// Says which byte is the first that differs.
[[nodiscard]] ::testing::AssertionResult same_bytes(std::span<const std::byte> one,
                                                    std::span<const std::byte> other);

}  // namespace sluice
