// The cases of `sluice probe`: what NCCL's contract wants of a net plugin, and what the engine
// needs of it. Each runs in a process of its own.
#pragma once

#include <span>
#include <vector>

#include "tools/probe/child.h"
#include "tools/probe/plugin_under_probe.h"

namespace sluice::probe {

struct Case {
  const char* name;
  const char* asks;  // What the case finds out, in a few words.
  void (*run)(Probe& probe);
  // What it means when the plugin ends the process, or does not come back: nullptr is a failure.
  const char* if_it_ends = nullptr;
  const char* if_it_hangs = nullptr;
};

// What the plugin is: its facts are told before all cases.
[[nodiscard]] const Case& description_case();

[[nodiscard]] std::span<const Case> set_up_cases();
[[nodiscard]] std::span<const Case> message_cases();
[[nodiscard]] std::span<const Case> failure_cases();
[[nodiscard]] std::vector<Case> all_cases();

}  // namespace sluice::probe
