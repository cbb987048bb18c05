// Runs one case in a process of its own: a plugin that aborts, exits or hangs costs one row.
#pragma once

#include <functional>
#include <string>

#include "tools/probe/finding.h"

namespace sluice::probe {

// The child's end: what it is about to do, and at last what it found. One thread.
class Reporter {
 public:
  explicit Reporter(int fd) : fd_(fd) {}
  // Told when the child does not come back from it.
  void step(const std::string& what) const;
  // Ends the process, without a destructor or an exit handler of anybody.
  [[noreturn]] void conclude(const Finding& finding) const;

 private:
  void write_line(const nlohmann::json& line) const;
  int fd_;
};

// What it means when the child does not live to conclude.
struct Expectations {
  std::string if_it_ends;   // By a signal or exit: the consequence of a deviation; "": a failure.
  std::string if_it_hangs;  // Likewise.
};

struct ChildOptions {
  double deadline_s = 60;
  bool show_output = false;  // Else the child's stdout and stderr lead nowhere.
};

// Forks; the calling process has one thread and has loaded no plugin. `run` is called in the child,
// which is killed with all its own children at the deadline or when it has concluded.
[[nodiscard]] Finding run_in_child(const ChildOptions& options, const Expectations& expectations,
                                   const std::function<void(const Reporter&)>& run);

}  // namespace sluice::probe
