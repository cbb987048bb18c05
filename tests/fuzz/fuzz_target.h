// What a fuzz target defines. One of two mains calls it: libFuzzer's (preset asan), or
// replay_main.cc, which every other build has and which the test command runs as a smoke test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sluice::fuzz {

using Bytes = std::vector<std::byte>;

// Must survive any bytes; aborts when a property does not hold.
void run(std::span<const std::byte> input);
// Well-formed inputs to begin with: made by the encoders, so they follow every change of a format.
std::vector<Bytes> seeds();

inline Bytes bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

}  // namespace sluice::fuzz
