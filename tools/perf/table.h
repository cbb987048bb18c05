// Results for people: one aligned table, a row at a time as they come in.
#pragma once

#include <span>
#include <string>

#include "tools/perf/result.h"

namespace sluice::perf {

// Two lines, column names over units.
[[nodiscard]] std::string table_header();
[[nodiscard]] std::string table_row(const ResultRow& row);

// One line that says what was checked.
[[nodiscard]] std::string verified_line(std::span<const ResultRow> rows);

}  // namespace sluice::perf
