// Results for programs: the JSON that scripts may rely on (docs/performance.md).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sluice/status.h"
#include "tools/in_force.h"
#include "tools/perf/machine.h"
#include "tools/perf/result.h"

namespace sluice::perf {

// The whole document, indented, with a newline at its end.
[[nodiscard]] std::string report_json(std::span<const ResultRow> rows,
                                      std::span<const tools::SettingInForce> settings,
                                      const Machine& machine);

// Whether write_file() will work, as far as one can know before; leaves no file behind. "" is OK.
Status check_writable(const std::string& path);

// Replaces `path`. kSystem names it.
Status write_file(const std::string& path, std::string_view content);

}  // namespace sluice::perf
