// Where a Net left a piece of a chunk: net and gpu meet here and know nothing else of each other.
#pragma once

#include <cstdint>

namespace sluice {

struct Fragment {
  std::uint64_t pool_offset;         // bytes from the start of the bounce pool
  std::uint64_t length;              // bytes
  std::uint64_t destination_offset;  // bytes from the start of the chunk's destination
};

}  // namespace sluice
