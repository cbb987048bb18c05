// What the host and the kernel persistent_copy tell each other. Only for comparison with launches:
// a kernel that stays on its SMs and is fed through pinned memory.
#pragma once

#include <cstdint>

#include "src/gpu/copy_pieces.h"

namespace sluice {

struct PersistentJob {
  const CopyUnit* units;
  std::uint32_t count;
};

inline constexpr std::uint32_t kPersistentJobs = 64;
inline constexpr std::uint64_t kPersistentStop = UINT64_MAX;

struct PersistentArguments {
  volatile std::uint64_t* posted;  // Pinned: jobs so far, or kPersistentStop.
  const PersistentJob* jobs;       // Pinned ring.
  std::uint32_t* finished;         // Device: blocks that are done, a place for each job.
  volatile std::uint64_t* flag;    // Pinned: jobs done.
};

}  // namespace sluice
