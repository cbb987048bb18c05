// What engines that were measured at the same time have done together.
#pragma once

#include <span>

#include "tools/perf/result.h"

namespace sluice::perf {

// `rows` are of one size, one an engine, and not empty. Bandwidth is all their bytes over the time
// of the slowest; the median is the engines' median of medians, p99 that of the worst engine.
[[nodiscard]] ResultRow total_of(std::span<const ResultRow> rows);

}  // namespace sluice::perf
