// Long one-sided transfers that are kept under way beside those that are measured, so that it shows
// how much these wait for them.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/perf/hub.h"
#include "tools/perf/link.h"

namespace sluice::perf {

class Beside {
 public:
  // Of `bytes` each, at the beginning of both regions; 0: there are none. Everything must outlive
  // this.
  Beside(Hub& hub, Link& link, RegionId here, bool writes, std::uint64_t bytes);

  // Asks for what has ended since.
  Status keep_up(RemoteRegionId there);
  // True: it was one of these.
  bool on_completion(const Completion& completion);
  // Asks for no more; what is under way goes on.
  void stop() { stopped_ = true; }
  [[nodiscard]] bool under_way() const { return !in_flight_.empty(); }

  [[nodiscard]] std::uint64_t bytes_moved() const { return moved_; }
  [[nodiscard]] const Status& failure() const { return failure_; }

 private:
  Hub& hub_;
  Link& link_;
  const RegionId here_;
  const bool writes_;
  const std::uint64_t bytes_;
  std::vector<TransferId> in_flight_;
  std::uint64_t moved_ = 0;  // Of those that are complete.
  bool stopped_ = false;
  Status failure_;
};

}  // namespace sluice::perf
