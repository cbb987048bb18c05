// Channels that die are made anew while the control connection lives: all channels of a direction
// at a time, and what was in flight on them is begun anew. docs/wire.md has the frames. What the
// parts of a peer do for it is in rebuild.cc, told in the order in which it happens; here is what
// bounds it.
#pragma once

#include <cstdint>

#include "sluice/status.h"
#include "src/base/clock.h"

namespace sluice {

// Whether other channels may do better: they broke, or could not be made. Not so what the peer or
// the Net did wrong, nor a Net that stands still.
constexpr bool may_be_rebuilt(StatusCode code) {
  return code == StatusCode::kPeerLost || code == StatusCode::kUnavailable ||
         code == StatusCode::kClosed;
}

// Of one direction of a peer. Both ends count for themselves; the one that has enough ends it.
class Rebuilds {
 public:
  // After so long without a rebuild none of those before counts.
  static constexpr Nanoseconds kForgottenAfter = from_ms(60'000);

  explicit Rebuilds(std::uint32_t most) : most_(most) {}

  [[nodiscard]] bool allowed(Nanoseconds now) const { return most_ > 0 && counted(now) < most_; }
  void begin(Nanoseconds now) {
    count_ = counted(now) + 1;
    last_ = now;
    ++ever_;
  }
  [[nodiscard]] std::uint32_t count() const { return count_; }
  [[nodiscard]] std::uint32_t most() const { return most_; }
  [[nodiscard]] std::uint64_t ever() const { return ever_; }

 private:
  [[nodiscard]] std::uint32_t counted(Nanoseconds now) const {
    return now - last_ > kForgottenAfter ? 0 : count_;
  }

  std::uint32_t most_;
  std::uint32_t count_ = 0;
  std::uint64_t ever_ = 0;
  Nanoseconds last_ = 0;
};

// A channel of one direction has failed; the control connection has until `deadline` to say why.
struct Doubt {
  Status why;  // OK: none.
  Nanoseconds deadline = 0;
  bool told = false;  // The peer is asked to rebuild them, and has until `deadline`.
};

}  // namespace sluice
