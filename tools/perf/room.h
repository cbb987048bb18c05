// The region that an end measures in, kept from run to run where it will do.
#pragma once

#include <cstdint>

#include "tools/perf/hub.h"
#include "tools/perf/plan.h"

namespace sluice::perf {

class Room {
 public:
  // Reckons with no more than `most` bytes of free memory.
  Room(Hub& hub, Memory kind, std::uint64_t most) : hub_(hub), kind_(kind), most_(most) {}
  ~Room() { empty(); }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  // Makes room for messages of `size` bytes, at least `least_slots` of them, behind `beside` bytes.
  // kUnavailable: there is too little memory.
  Status fit(std::uint64_t size, std::uint64_t least_slots, std::uint64_t beside);
  // Gives the memory back, once the engine has let go of it.
  void empty();

  [[nodiscard]] const Region& region() const { return region_; }
  [[nodiscard]] const Layout& layout() const { return layout_; }

 private:
  Hub& hub_;
  Memory kind_;
  std::uint64_t most_;
  Region region_;
  Layout layout_;
};

}  // namespace sluice::perf
