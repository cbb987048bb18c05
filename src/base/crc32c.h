// CRC32C (Castagnoli, as in RFC 3720) of bytes that are seen in parts and in any order. A remainder
// is that of the bytes alone, without the inversions before and after: the remainder of a whole is
// then the exclusive or of its parts', each shifted by what lies behind it. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

// The generator, its bits reflected: the lowest bit is the highest power.
inline constexpr std::uint32_t kCrc32cGenerator = 0x82f63b78;

// Product of two polynomials modulo the generator.
constexpr std::uint32_t crc32c_multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (int i = 0; i < 32; ++i) {
    product ^= (a & 0x80000000u >> i) != 0 ? b : 0;
    b = (b >> 1) ^ ((b & 1) != 0 ? kCrc32cGenerator : 0);
  }
  return product;
}

// What a remainder is multiplied with when 1, 2, 4, 8, ... zero bytes are put behind.
constexpr std::array<std::uint32_t, 64> crc32c_shifts() {
  std::array<std::uint32_t, 64> shifts{};
  std::uint32_t shift = 0x80000000u >> 8;
  for (std::uint32_t& each : shifts) {
    each = shift;
    shift = crc32c_multiply(shift, shift);
  }
  return shifts;
}

// The remainder of bytes whose remainder is `before` and these behind them. 0: none before.
[[nodiscard]] std::uint32_t crc32c_remainder(std::span<const std::byte> bytes,
                                             std::uint32_t before = 0);

// The remainder of the same bytes with so many zero bytes behind them.
[[nodiscard]] std::uint32_t crc32c_shifted(std::uint32_t remainder, std::uint64_t bytes);

// The CRC32C of `length` bytes with this remainder.
[[nodiscard]] std::uint32_t crc32c_of(std::uint32_t remainder, std::uint64_t length);

}  // namespace sluice
