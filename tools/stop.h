// Signals as flags that loops look at: Ctrl-C, SIGTERM, SIGUSR1.
#pragma once

namespace sluice::tools {

// From now on the two signals set the flag; a second one of them kills as usual.
void catch_stop_signals();
[[nodiscard]] bool stop_requested();

// From now on SIGUSR1 asks every engine of this process for its report(), which goes to stderr.
void catch_report_signal();
// How many have been asked for.
[[nodiscard]] int reports_requested();

// A child process ends with the one that started it, also when that one is killed.
void end_with_parent();

}  // namespace sluice::tools
