#include "src/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <climits>

namespace sluice {

std::uint32_t crc32c_remainder(std::span<const std::byte> bytes, std::uint32_t before) {
  while (!bytes.empty()) {
    const std::size_t part = std::min<std::size_t>(bytes.size(), INT_MAX);
    // It takes a pointer to what it only reads.
    auto* const data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
    before = ::crc32_iscsi(data, static_cast<int>(part), before);
    bytes = bytes.subspan(part);
  }
  return before;
}

std::uint32_t crc32c_shifted(std::uint32_t remainder, std::uint64_t bytes) {
  static constexpr std::array<std::uint32_t, 64> kShifts = crc32c_shifts();
  for (std::size_t i = 0; bytes != 0 && remainder != 0; ++i, bytes >>= 1) {
    if ((bytes & 1) != 0) remainder = crc32c_multiply(kShifts[i], remainder);
  }
  return remainder;
}

std::uint32_t crc32c_of(std::uint32_t remainder, std::uint64_t length) {
  return ~(remainder ^ crc32c_shifted(UINT32_MAX, length));
}

}  // namespace sluice
