// Ctrl-C and SIGTERM as a flag that loops look at.
#pragma once

namespace sluice::tools {

// From now on the two signals set the flag; a second one of them kills as usual.
void catch_stop_signals();
[[nodiscard]] bool stop_requested();

// A child process ends with the one that started it, also when that one is killed.
void end_with_parent();

}  // namespace sluice::tools
