#include "tools/perf/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace sluice::perf {

std::string bar_line(std::size_t done, std::size_t steps, std::string_view label) {
  constexpr std::size_t kWidth = 30;
  const std::size_t filled = steps == 0 ? kWidth : std::min(done, steps) * kWidth / steps;
  return fmt::format("[{}{}] {:>3} %  {}", std::string(filled, '='),
                     std::string(kWidth - filled, ' '), filled * 100 / kWidth, label);
}

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

ProgressBar::ProgressBar(std::size_t steps, bool visible) : steps_(steps), visible_(visible) {}

void ProgressBar::step(std::string_view label) {
  if (visible_) {
    std::fputs(("\r\x1b[K" + bar_line(done_, steps_, label)).c_str(), stderr);
    std::fflush(stderr);
    drawn_ = true;
  }
  ++done_;
}

void ProgressBar::clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace sluice::perf
