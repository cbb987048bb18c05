// A text as a file.
#pragma once

#include <string>

#include "sluice/status.h"

namespace sluice::tools {

// In place of what is there. kSystem and the like name the file.
Status write_file(const std::string& path, const std::string& text);

}  // namespace sluice::tools
