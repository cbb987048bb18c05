// A timeline in words.
#pragma once

#include <string>

#include "tools/report/timeline.h"

namespace sluice::report {

// Several lines for each recording: its clock, each channel's window, what the time of transfers
// was spent on, what is outstanding. Times are seconds since the oldest event of all.
[[nodiscard]] std::string summary_text(const Timeline& timeline);

}  // namespace sluice::report
