// The options of commands that use several engines, and the engines they come to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sluice/status.h"
#include "src/orchestrator/engine_place.h"
#include "tools/command_line.h"

namespace CLI {
class App;
}  // namespace CLI

namespace sluice::tools {

struct EngineChoice {
  std::string gpus;           // "all", "0,1"; "" is all, where there are any.
  std::uint32_t engines = 0;  // Of host memory; 0: not asked for.
  std::string map;            // As of `sluice topo`.
};
void add_engine_options(CLI::App& app, SettingOptions& settings, EngineChoice& choice);

// Engines of host memory where there are no GPUs and none was asked for. kInvalidArgument: no such
// GPU, or a map that does not fit.
Result<std::vector<EnginePlace>> choose_engines(const EngineChoice& choice);

// "host", "cuda".
[[nodiscard]] const char* memory_of(const std::vector<EnginePlace>& places);

}  // namespace sluice::tools
