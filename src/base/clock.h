// Time as the engine sees it: the seam that lets a test run hours in a millisecond.
#pragma once

#include <cstdint>

namespace sluice {

// Nanoseconds on a clock that never goes back. Only differences mean anything.
using Nanoseconds = std::int64_t;

constexpr Nanoseconds from_ms(std::int64_t ms) { return ms * 1'000'000; }
constexpr Nanoseconds from_us(std::int64_t us) { return us * 1'000; }

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Nanoseconds now() const = 0;
};

// CLOCK_MONOTONIC. Thread-safe.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Nanoseconds now() const override;
};

// Moves only when told to. Not thread-safe.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] Nanoseconds now() const override { return now_; }
  void advance(Nanoseconds by) { now_ += by; }

 private:
  Nanoseconds now_ = 1;
};

}  // namespace sluice
