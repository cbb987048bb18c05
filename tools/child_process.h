// This program once more, as a child.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "sluice/status.h"

namespace sluice::tools {

// Runs it with `arguments`, its own name first. It inherits the descriptor `fd` under the number
// `as`, and has `environment` ("NAME=VALUE") besides this process's.
Result<pid_t> spawn_self(std::vector<std::string> arguments, int fd, int as,
                         const std::vector<std::string>& environment = {});

// Asks it to end and waits for that; kills it if it does not within two seconds.
void end_process(pid_t child);

}  // namespace sluice::tools
