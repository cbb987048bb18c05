// What a Gpu that takes its time does later: the lists of a call are copied, as its contract says
// they may go, the bytes are looked at when it runs.
#pragma once

#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "src/base/crc32c.h"
#include "src/gpu/gpu.h"

namespace sluice {

inline std::function<void()> late_copy(std::vector<Piece> pieces) {
  return [pieces = std::move(pieces)] {
    for (const Piece& piece : pieces) {
      if (piece.length > 0) std::memcpy(piece.to, piece.from, piece.length);
    }
  };
}

inline std::function<void()> late_checksum(std::span<const Checksum> batch) {
  std::vector<std::pair<std::vector<std::span<const std::byte>>, std::uint32_t*>> sums;
  for (const Checksum& sum : batch) {
    sums.push_back({{sum.pieces.begin(), sum.pieces.end()}, sum.into});
  }
  return [sums = std::move(sums)] {
    for (const auto& [pieces, into] : sums) {
      std::uint32_t remainder = 0;
      for (const auto piece : pieces) remainder = crc32c_remainder(piece, remainder);
      *into = remainder;
    }
  };
}

}  // namespace sluice
