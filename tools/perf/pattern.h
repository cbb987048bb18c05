// The content of checked messages: every 8 bytes follow from the seed and their place, so that
// lost, swapped, repeated and stale bytes all show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sluice::perf {

// The seed of one message of a run; `stream` tells the two directions apart.
[[nodiscard]] std::uint64_t message_seed(std::uint64_t run_seed, std::uint64_t stream,
                                         std::uint64_t message);

// Bytes `offset` and following of the message with this seed. `offset` is a multiple of 8.
void fill_pattern(std::span<std::byte> piece, std::uint64_t seed, std::uint64_t offset);

// Where in `piece` the first byte is that differs from it.
[[nodiscard]] std::optional<std::uint64_t> find_difference(std::span<const std::byte> piece,
                                                           std::uint64_t seed,
                                                           std::uint64_t offset);

}  // namespace sluice::perf
