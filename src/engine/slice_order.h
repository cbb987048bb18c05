// The order in which the blocks of a one-sided transfer go. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/engine.h"

namespace sluice {

// Reading blocks from all over memory costs twice what reading them in a row does
// (docs/performance.md). Where slice i of one end is as long as slice i of the other, a transfer
// may take them in any order: then it takes them as they lie in memory at their source.
class SliceOrder {
 public:
  // Afterwards the lists are those given, or copies that are valid until the next call.
  void sort(std::span<const Slice>& local, std::span<const RemoteSlice>& remote, bool from_local);

 private:
  struct Key {
    std::uint64_t offset;  // At the source.
    std::uint32_t place;
  };

  template <typename Source>
  bool order(std::span<const Source> source);
  void sort_keys(std::span<Key> keys);

  std::vector<Key> keys_;
  std::vector<Key> scratch_;
  std::vector<Slice> local_;
  std::vector<RemoteSlice> remote_;
};

}  // namespace sluice
