// Which cores a thread may run on.
#pragma once

#include <sched.h>

#include <string_view>

#include "sluice/status.h"

namespace sluice {

// "0-3,8" as the kernel lists cores in sysfs. kInvalidArgument: not of this form, none named, or
// one beyond what a cpu_set_t holds.
Result<cpu_set_t> parse_cores(std::string_view list);

// Pins the calling thread, and those that it will start, to the cores of the list; "": leaves it
// where it is. kInvalidArgument also where none of them may be used by this process.
Status run_on_cores(std::string_view list);

}  // namespace sluice
