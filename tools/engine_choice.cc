#include "tools/engine_choice.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "src/gpu/cuda_gpu.h"
#include "tools/perf/ensemble.h"

namespace sluice::tools {
namespace {

// One a core, as channels are by default.
std::uint32_t default_engines() {
  return static_cast<std::uint32_t>(std::clamp(::sysconf(_SC_NPROCESSORS_ONLN), 2L, 8L));
}

}  // namespace

Result<std::vector<EnginePlace>> choose_engines(const EngineChoice& choice) {
  // Without a tree the engines run anywhere.
  const Result<Machine> read = read_machine("/sys");
  const Machine machine = read.ok() ? *read : Machine{};
  const std::uint32_t count = choice.engines > 0 ? 0 : count_cuda_gpus();
  if (count == 0) {
    const auto wrong = [](std::string why) {
      return Status(StatusCode::kInvalidArgument, std::move(why));
    };
    if (!choice.gpus.empty()) {
      return wrong(fmt::format("--gpus {}: no CUDA device here; --engines N measures host memory",
                               choice.gpus));
    }
    if (!choice.map.empty()) {
      return wrong(
          fmt::format("--map {}: it is of GPUs, and these are engines of host memory", choice.map));
    }
    return host_places(machine, choice.engines > 0 ? choice.engines : default_engines());
  }
  const auto gpus = parse_gpus(choice.gpus.empty() ? "all" : choice.gpus, count);
  if (!gpus.ok()) return gpus.status();
  const auto map = map_nics(machine, choice.map);
  if (!map.ok()) return map.status();
  return gpu_places(machine, *map, *gpus);
}

const char* memory_of(const std::vector<EnginePlace>& places) {
  return places.front().gpu >= 0 ? "cuda" : "host";
}

}  // namespace sluice::tools
