// How far a measurement has come, redrawn in place on stderr; nothing at all when stderr is not a
// terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::perf {

class ProgressBar {
 public:
  // `steps` in all; draws only if `visible`.
  ProgressBar(std::size_t steps, bool visible);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // The next step is done; `label` says what comes.
  void step(std::string_view label);
  // Takes the bar off the line, for other output; the next step draws it again.
  void clear();

 private:
  std::size_t steps_;
  std::size_t done_ = 0;
  bool visible_;
  bool drawn_ = false;
};

// The line for `done` of `steps`, without control characters.
[[nodiscard]] std::string bar_line(std::size_t done, std::size_t steps, std::string_view label);

[[nodiscard]] bool stderr_is_terminal();

}  // namespace sluice::perf
