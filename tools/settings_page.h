// The table of settings as text: in force for a terminal, and as a page of the documentation.
#pragma once

#include <string>

#include "tools/in_force.h"

namespace sluice::tools {

// Aligned columns: name, value, source, legal values; and what each does.
[[nodiscard]] std::string settings_table(const InForce& in_force);

// docs/configuration.md, whole. The same on every machine.
[[nodiscard]] std::string settings_markdown();

}  // namespace sluice::tools
