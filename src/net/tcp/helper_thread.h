// Threads of a Net that drive data sockets.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "sluice/status.h"

namespace sluice {

// Starts a thread with all signals blocked, because a signal is the program's and never ours, and
// with the affinity of the calling thread. `name` has at most 15 characters. kUnavailable: no more
// threads.
Result<std::thread> start_helper(const std::string& name, std::function<void()> run);

}  // namespace sluice
