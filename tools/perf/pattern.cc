#include "tools/perf/pattern.h"

#include <cstring>

namespace sluice::perf {
namespace {

// SplitMix64's finisher: every bit of the input changes half of those of the output.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t message_seed(std::uint64_t run_seed, std::uint64_t stream, std::uint64_t message) {
  return mix(mix(mix(run_seed) + stream) + message);
}

void fill_pattern(std::span<std::byte> piece, std::uint64_t seed, std::uint64_t offset) {
  std::uint64_t word = seed + offset / 8;
  std::size_t at = 0;
  for (; at + 8 <= piece.size(); at += 8, ++word) {
    const std::uint64_t value = mix(word);
    std::memcpy(piece.data() + at, &value, 8);
  }
  const std::uint64_t value = mix(word);
  if (at < piece.size()) std::memcpy(piece.data() + at, &value, piece.size() - at);
}

std::optional<std::uint64_t> find_difference(std::span<const std::byte> piece, std::uint64_t seed,
                                             std::uint64_t offset) {
  std::uint64_t word = seed + offset / 8;
  for (std::size_t at = 0; at < piece.size(); at += 8, ++word) {
    const std::size_t length = piece.size() - at < 8 ? piece.size() - at : 8;
    const std::uint64_t value = mix(word);
    if (std::memcmp(piece.data() + at, &value, length) == 0) continue;
    std::byte expected[8];
    std::memcpy(expected, &value, 8);
    for (std::size_t i = 0; i < length; ++i) {
      if (piece[at + i] != expected[i]) return at + i;
    }
  }
  return std::nullopt;
}

}  // namespace sluice::perf
