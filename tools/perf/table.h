// Results for people: one aligned table, a row at a time as they come in.
#pragma once

#include <span>
#include <string>

#include "tools/perf/result.h"

namespace sluice::perf {

// Two lines, column names over units. Rows that name an engine need a column for it.
[[nodiscard]] std::string table_header(bool with_engine = false);
[[nodiscard]] std::string table_row(const ResultRow& row);

// One line that says what was checked.
[[nodiscard]] std::string verified_line(std::span<const ResultRow> rows);
// What went on beside each row; "" where nothing did.
[[nodiscard]] std::string beside_line(std::span<const ResultRow> rows);

}  // namespace sluice::perf
