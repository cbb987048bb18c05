// What the host and a kernel that works through a list of units tell each other. Plain data: nvcc
// reads it too.
#pragma once

#include <cstdint>

namespace sluice {

inline constexpr std::uint32_t kLanes = 32;           // Of a warp; a warp works on a unit.
inline constexpr std::uint32_t kLaunchThreads = 512;  // Of a block; at most a block runs on an SM.
// Of a launch that lingers: what waits for all that the GPU does waits no longer for it.
inline constexpr std::uint64_t kLongestStayNs = 1'000'000;
inline constexpr std::uint32_t kMostLingering = 8;  // Blocks: of a cluster, on GPUs that are whole.
// Of all arguments of a launch: what every driver takes.
inline constexpr std::uint32_t kMostArgumentBytes = 4096;

// How far a list has come: the number of the last piece of work that is in it to its end, and the
// number of units. Both modulo 2^32, so that one store tells both.
constexpr std::uint64_t progress_of(std::uint64_t number, std::uint32_t units) {
  return number << 32 | units;
}
constexpr std::uint32_t number_of(std::uint64_t progress) {
  return static_cast<std::uint32_t>(progress >> 32);
}
constexpr std::uint32_t units_of(std::uint64_t progress) {
  return static_cast<std::uint32_t>(progress);
}

// Of two pieces of work, or none, that have all units of the list.
constexpr bool is_later(std::uint64_t progress, std::uint64_t than) {
  return static_cast<std::int32_t>(number_of(progress) - number_of(than)) > 0;
}

// In device memory, all of it 0 before the first launch and, but for `end` and `done`, between
// launches. A kernel may have more.
struct LaunchState {
  std::uint32_t finished;  // Blocks that are done.
  std::uint32_t claimed;   // Units that warps have taken beyond the first of each.
  std::uint32_t begun;     // Blocks that have asked where an open list ends.
  std::uint32_t known;     // 1 once `end` says it.
  std::uint64_t end;       // Of the last open list: a progress.
  std::uint32_t done;      // Units of all launches before, modulo 2^32.
};

// What launches tell: the number of the last that has begun; that of the last whose list was open,
// before it looks for the last time at what is posted; the progress, once everything is visible,
// several times if it lingers; after that the number of the last that has finished.
inline constexpr std::uint32_t kBegun = 0;
inline constexpr std::uint32_t kListClosed = 1;
inline constexpr std::uint32_t kProgress = 2;
inline constexpr std::uint32_t kFinished = 3;

// What the host tells launches with open lists, in this order: where the list ends, as a progress;
// the number of the last launch that shall not stay any longer; and, for those that linger, the
// last run.
inline constexpr std::uint32_t kEnd = 0;
inline constexpr std::uint32_t kLeave = 1;
inline constexpr std::uint32_t kRun = 2;
inline constexpr std::uint32_t kRunWords = 6;
inline constexpr std::uint32_t kPostedWords = kRun + kRunWords;  // A cache line of the host's.

// The last units of a piece of work, which lie one behind the other at both ends. It is posted
// beside the end of the list: if those are all that is to be done, the list needs not be fetched.
struct UnitRun {
  std::uint64_t from;
  std::uint64_t to;
  std::uint32_t length;  // Bytes; 0: there is none.
};
inline constexpr std::uint32_t kLongestRun = 1 << 20;  // With more to do launches do not linger.

// The words of a run that ends at `progress`. All are read at the same time as kEnd, and any of
// them may be older, or newer: so each has the number of its piece of work in its high half, and
// one the number of units.
constexpr void put_run(const UnitRun& run, std::uint64_t progress,
                       std::uint64_t (&words)[kRunWords]) {
  const std::uint64_t values[kRunWords] = {run.from,     run.from >> 32, run.to,
                                           run.to >> 32, run.length,     progress};
  for (std::uint32_t i = 0; i < kRunWords; ++i) {
    words[i] = progress_of(number_of(progress), static_cast<std::uint32_t>(values[i]));
  }
}

// None if a word is of another post than the one that ends at `progress`.
constexpr UnitRun run_of(const std::uint64_t (&words)[kRunWords], std::uint64_t progress) {
  bool is_whole = words[kRunWords - 1] == progress;
  for (const std::uint64_t word : words) {
    is_whole = is_whole && number_of(word) == number_of(progress);
  }
  if (!is_whole) return {};
  return {std::uint64_t{units_of(words[1])} << 32 | units_of(words[0]),
          std::uint64_t{units_of(words[3])} << 32 | units_of(words[2]), units_of(words[4])};
}

template <typename UnitType, typename StateType>
struct LaunchArguments {
  using Unit = UnitType;
  using State = StateType;

  const Unit* units;              // In pinned memory, a ring; nullptr: they are inline.
  std::uint64_t launch;           // Its number.
  State* state;                   // Of the stream.
  volatile std::uint64_t* flags;  // In pinned memory, at the places above.
  // In pinned memory, at the places above. It is read when the launch begins, or for as long as it
  // lingers: the list is open until then. nullptr: the list is closed, and ends at `progress`.
  const volatile std::uint64_t* posted;
  std::uint64_t progress;
  std::uint64_t linger_ns;  // How long it stays when it has nothing to do.
  // 1: its units are `count` from `first` on, or none. 0: only the GPU knows where it begins, which
  // is where the launches before have ended.
  std::uint32_t is_known;
  std::uint32_t first;
  std::uint32_t count;
  std::uint32_t mask;  // Of a place in the ring.
  // Units that travel with the launch itself: the kernel then does not fetch its list over PCIe.
  static constexpr std::uint32_t kInlineUnits = (kMostArgumentBytes - 80) / sizeof(Unit);
  Unit inline_units[kInlineUnits];
};

}  // namespace sluice
