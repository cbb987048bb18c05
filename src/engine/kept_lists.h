// Lists of blocks that come again and again: the target of one-sided transfers keeps some of its
// initiator's, by id, and later Requests name one instead of bringing it. The initiator alone
// decides which, so that both ends always have the same. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "src/engine/wire.h"

namespace sluice {

// The target's: what it keeps for one initiator.
class KeptLists {
 public:
  // In the place of what this id stood for; what is in use stays as long as it is.
  void keep(std::uint16_t id, std::span<const std::byte> list) {
    lists_[id] = std::make_shared<const std::vector<std::byte>>(list.begin(), list.end());
  }
  // nullptr: this id stands for nothing.
  [[nodiscard]] const std::shared_ptr<const std::vector<std::byte>>& find(std::uint16_t id) const {
    return lists_[id];
  }

 private:
  std::array<std::shared_ptr<const std::vector<std::byte>>, wire::kMostKeptLists> lists_;
};

// The initiator's: what its target keeps.
class ToldLists {
 public:
  enum class Telling : std::uint8_t {
    kWhole,  // The list, as if there were no ids.
    kKeep,   // The list, to be kept: sent() or withdrawn() follows.
    kName,   // The id alone.
  };
  struct Choice {
    Telling telling = Telling::kWhole;
    std::uint16_t id = 0;
  };

  // How to tell the target of a list, of which it keeps those of up to `longest` bytes. A list is
  // kept when it comes the second time, in the place of the one that was used least lately.
  Choice choose(std::span<const std::byte> list, std::uint64_t longest);
  // The Request with the list is out, so that every later one may name it; or never will be.
  void sent(std::uint16_t id) { told_[id].there = true; }
  void withdrawn(std::uint16_t id) { told_[id] = {}; }

 private:
  struct Told {
    std::vector<std::byte> list;  // Empty: the id is free.
    bool there = false;           // The target has it, or will have before what is sent next.
    std::uint64_t used = 0;       // When it was last asked for, by uses_.
  };

  bool seen_before(std::span<const std::byte> list);

  std::array<Told, wire::kMostKeptLists> told_;
  std::array<std::size_t, 64> seen_{};  // A ring of hashes.
  std::size_t next_seen_ = 0;
  std::uint64_t uses_ = 0;
};

}  // namespace sluice
