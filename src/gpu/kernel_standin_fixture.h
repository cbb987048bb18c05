// What a launch does, in plain C++, for drivers of the tests' own: as launch.cuh and linger.cuh
// have it, but for the work.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "src/gpu/copy_pieces.h"

namespace sluice {

// Of one launch, on one thread.
template <typename Arguments>
class KernelStandIn {
 public:
  using Unit = typename Arguments::Unit;

  explicit KernelStandIn(const Arguments& arguments) : arguments_(arguments) {}

  void begin() { tell(kBegun, arguments_.launch); }
  // For a launch that lingers: works through what is posted for as long as stays() says so, or
  // until it is to leave. Calls work(unit) for each unit.
  template <typename Stays, typename Work>
  void linger(Stays stays, Work work) {
    while (stays() && posted(kLeave) < arguments_.launch) {
      std::uint64_t words[kRunWords];
      for (std::uint32_t i = 0; i < kRunWords; ++i) words[i] = posted(kRun + i);
      const std::uint64_t progress = posted(kEnd);
      const UnitRun run = run_of(words, progress);
      const std::uint32_t first = arguments_.state->done;
      const std::uint32_t count = units_of(progress) - first;
      if (Unit::count_of(run) == count) {
        for (std::uint32_t i = 0; i < count; ++i) work(Unit::of(run, i));
        run_units_ += count;
        arguments_.state->done = first + count;
      } else {
        work_through(first, count, work);
      }
      tell(kProgress, progress);
    }
  }
  // All that is left; then calls summarise(), and tells.
  template <typename Work, typename Summarise>
  void work_to_the_end(Work work, Summarise summarise) {
    auto& state = *arguments_.state;
    std::uint64_t progress = arguments_.progress;
    if (arguments_.posted != nullptr) {
      tell(kListClosed, arguments_.launch);
      progress = state.end = posted(kEnd);
    }
    std::uint32_t first = arguments_.first;
    std::uint32_t count = arguments_.count;
    if (arguments_.is_known == 0) {
      first = state.done;
      count = units_of(progress) - first;
      const auto left = static_cast<std::int32_t>(count);
      if (left < 0 || (left == 0 && is_later(state.end, progress))) {
        count = 0;
        progress = state.end;
      }
    }
    work_through(first, count, work);
    summarise();
    tell(kProgress, progress);
  }
  void finish() { tell(kFinished, arguments_.launch); }
  // Of runs, which it did not take from the list.
  [[nodiscard]] std::uint32_t run_units() const { return run_units_; }

 private:
  [[nodiscard]] std::uint64_t posted(std::uint32_t place) const {
    return std::atomic_ref(const_cast<std::uint64_t&>(arguments_.posted[place])).load();
  }
  void tell(std::uint32_t place, std::uint64_t value) {
    std::atomic_ref(const_cast<std::uint64_t&>(arguments_.flags[place])).store(value);
  }
  template <typename Work>
  void work_through(std::uint32_t first, std::uint32_t count, Work work) {
    for (std::uint32_t i = 0; i < count; ++i) {
      work(arguments_.units == nullptr ? arguments_.inline_units[i]
                                       : arguments_.units[(first + i) & arguments_.mask]);
    }
    arguments_.state->done = first + count;
  }

  const Arguments& arguments_;
  std::uint32_t run_units_ = 0;
};

inline void copy_as_the_kernel_does(const CopyUnit& unit) {
  std::memcpy(reinterpret_cast<void*>(unit.to()), reinterpret_cast<const void*>(unit.from()),
              unit.length());
}

}  // namespace sluice
