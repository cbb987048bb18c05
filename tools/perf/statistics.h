// Percentiles of a run, and the CPU that a process has used.
#pragma once

#include <span>

namespace sluice::perf {

// The smallest sample that `percent` of all samples do not exceed (nearest rank); reorders
// `samples`. 0 when there are none.
[[nodiscard]] double percentile(std::span<double> samples, double percent);

// User and system time of this process until now, all threads, in seconds.
[[nodiscard]] double cpu_seconds();

}  // namespace sluice::perf
