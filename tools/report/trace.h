// A timeline for the eye: Chrome's trace events, which Perfetto (ui.perfetto.dev) and
// chrome://tracing open.
#pragma once

#include <string>

#include "tools/report/timeline.h"

namespace sluice::report {

// JSON. Of each engine: how full each channel's window was, its chunks, transfers, control frames,
// sleeps and what became of its peers.
[[nodiscard]] std::string trace_json(const Timeline& timeline);

}  // namespace sluice::report
