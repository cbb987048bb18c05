// What `sluice probe` prints and writes.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "tools/probe/finding.h"

namespace sluice::probe {

struct Row {
  std::string name;  // Of the case.
  std::string asks;
  Finding finding;
};

// The plugin and its devices, from the facts of the description case; lines for people.
[[nodiscard]] std::string description_text(std::string_view file, const nlohmann::json& facts);

[[nodiscard]] std::string table_header();
// One line, and a second one with the consequence of what is not a pass.
[[nodiscard]] std::string table_row(const Row& row);
[[nodiscard]] std::string summary_line(std::span<const Row> rows);

[[nodiscard]] nlohmann::json report_json(std::string_view file, const nlohmann::json& facts,
                                         std::span<const Row> rows);

// 0 when all have passed, else 1.
[[nodiscard]] int exit_status_of(std::span<const Row> rows);

}  // namespace sluice::probe
