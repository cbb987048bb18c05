#include "tools/perf/total.h"

#include <algorithm>
#include <vector>

#include "tools/perf/statistics.h"

namespace sluice::perf {

ResultRow total_of(std::span<const ResultRow> rows) {
  ResultRow total = rows.front();
  total.engine = kAllEngines;
  total.seconds = 0;
  total.cpu_seconds = 0;
  total.counters = {};
  total.iterations = total.latency_iterations = total.verified_messages = 0;
  total.beside_gbytes_per_s = 0;
  std::vector<double> medians;
  std::vector<double> posts;
  for (const ResultRow& row : rows) {
    medians.push_back(row.p50_us);
    posts.push_back(row.post_us);
    total.beside_gbytes_per_s += row.beside_gbytes_per_s;
    total.p99_us = std::max(total.p99_us, row.p99_us);
    total.seconds = std::max(total.seconds, row.seconds);
    total.cpu_seconds += row.cpu_seconds;
    total.iterations += row.iterations;
    total.latency_iterations += row.latency_iterations;
    total.verified_messages += row.verified_messages;
    total.verified = total.verified && row.verified;
    total.counters.passes += row.counters.passes;
    total.counters.empty_passes += row.counters.empty_passes;
    total.counters.wake_ups += row.counters.wake_ups;
    total.counters.cpu_ns += row.counters.cpu_ns;
  }
  total.p50_us = percentile(medians, 50);
  total.post_us = percentile(posts, 50);
  const double gbytes = static_cast<double>(total.size_bytes) *
                        static_cast<double>(total.iterations) *
                        (total.direction == "both" ? 2 : 1) / 1e9;
  total.gbytes_per_s = total.seconds > 0 ? gbytes / total.seconds : 0;
  total.cpu_s_per_gb.reset();
  if (gbytes > 0) total.cpu_s_per_gb = total.cpu_seconds / gbytes;
  return total;
}

}  // namespace sluice::perf
