// Lists of many blocks of GPU memory, which the tests over tcp and over plugins move alike.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/engine/engine_fixture.h"

namespace sluice {

// Blocks of `least` to `most` bytes at any alignment, in any order, in two stretches of memory that
// are regions of their own; `bytes` in all.
struct ScatteredBlocks {
  struct Place {
    std::size_t half;
    std::uint64_t offset;
    std::uint64_t length;
  };

  ScatteredBlocks(std::uint64_t bytes, std::uint64_t least, std::uint64_t most,
                  std::uint32_t seed) {
    std::mt19937 random(seed);
    std::uint64_t ends[2] = {3, 5};
    while (bytes > 0) {
      const std::uint64_t length = std::min(bytes, least + random() % (most - least + 1));
      const std::size_t half = random() % 2;
      blocks.push_back({half, ends[half], length});
      ends[half] += length + random() % 7;
      bytes -= length;
    }
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (const std::size_t half : {0u, 1u}) memory[half] = random_bytes(ends[half] + 9, seed + 1);
  }
  [[nodiscard]] std::vector<std::byte> content() const {
    std::vector<std::byte> bytes;
    for (const Place& place : blocks) {
      const auto from = memory[place.half].begin() + static_cast<long>(place.offset);
      bytes.insert(bytes.end(), from, from + static_cast<long>(place.length));
    }
    return bytes;
  }
  // What is outside of the blocks, the blocks blanked.
  [[nodiscard]] std::vector<std::byte> rest() const {
    std::vector<std::byte> both[2] = {memory[0], memory[1]};
    for (const Place& place : blocks) {
      std::fill_n(both[place.half].begin() + static_cast<long>(place.offset), place.length,
                  std::byte{0});
    }
    both[0].insert(both[0].end(), both[1].begin(), both[1].end());
    return both[0];
  }
  void add_to(Host& host, Memory kind) {
    for (const std::size_t half : {0u, 1u}) regions[half] = host.add(memory[half], kind);
  }
  [[nodiscard]] std::vector<Slice> slices() const {
    std::vector<Slice> slices;
    for (const Place& place : blocks) {
      slices.push_back({regions[place.half], place.offset, place.length});
    }
    return slices;
  }
  // As `initiator` names them, to which `owner` has exported them.
  [[nodiscard]] std::vector<RemoteSlice> exported(Host& owner, Host& initiator, PeerId peer) const {
    RemoteRegionId imported[2] = {};
    for (const std::size_t half : {0u, 1u}) {
      const auto bytes = owner.engine->export_region(regions[half], Access::kReadWrite);
      imported[half] = *initiator.engine->import_region(peer, *bytes);
    }
    std::vector<RemoteSlice> slices;
    for (const Place& place : blocks) {
      slices.push_back({imported[place.half], place.offset, place.length});
    }
    return slices;
  }

  std::vector<Place> blocks;
  std::vector<std::byte> memory[2];
  RegionId regions[2] = {};
};

// Writes blocks of a to blocks of b that are cut differently, and reads them back into others.
inline void move_gpu_blocks(Pair& pair, std::uint64_t bytes, Memory kind_at_a, Memory kind_at_b) {
  ScatteredBlocks from(bytes, 64, 20'000, 1);
  ScatteredBlocks there(bytes, 64, 3'000, 2);
  ScatteredBlocks back(bytes, 64, 200'000, 3);
  from.add_to(pair.a, kind_at_a);
  there.add_to(pair.b, kind_at_b);
  back.add_to(pair.a, kind_at_a);
  const std::vector<RemoteSlice> remote = there.exported(pair.b, pair.a, pair.b_at_a);
  const std::vector<std::byte> outside = there.rest();
  const std::vector<std::byte> outside_back = back.rest();
  const auto finish = [&](const Result<TransferId>& id) {
    ASSERT_TRUE(id.ok()) << id.status().to_string();
    ASSERT_TRUE(pair.drive([&] { return pair.a.finished(*id); }));
    EXPECT_TRUE(pair.a.done.at(*id).status.ok()) << pair.a.done.at(*id).status.to_string();
  };
  finish(pair.a.engine->write(pair.b_at_a, from.slices(), remote));
  EXPECT_TRUE(same_bytes(there.content(), from.content()));
  EXPECT_TRUE(same_bytes(there.rest(), outside));
  finish(pair.a.engine->read(pair.b_at_a, back.slices(), remote));
  EXPECT_TRUE(same_bytes(back.content(), from.content()));
  EXPECT_TRUE(same_bytes(back.rest(), outside_back));
}

}  // namespace sluice
