// Where each engine of an orchestrator lives: which GPU or host memory, which NIC, which cores.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sluice/options.h"
#include "sluice/status.h"
#include "src/topology/machine.h"
#include "src/topology/nic_map.h"

namespace sluice {

struct EnginePlace {
  std::string name;   // "gpu0", "host0": what peers call it, too.
  int gpu = -1;       // As CUDA counts in the order of PCI addresses; -1: host memory.
  std::string nic;    // Interface name; "" where none is known.
  std::string cores;  // Of the NIC's NUMA node, else of the GPU's; "" is anywhere.
};

// One for each of `gpus`, with its NIC of `map` (one for each GPU of the machine, or empty). A GPU
// that the machine's tree does not show has neither NIC nor cores.
[[nodiscard]] std::vector<EnginePlace> gpu_places(const Machine& machine,
                                                  std::span<const NicChoice> map,
                                                  std::span<const std::uint32_t> gpus);

// `count` engines of host memory, shared out over the NICs, or over the NUMA nodes without NICs.
[[nodiscard]] std::vector<EnginePlace> host_places(const Machine& machine, std::uint32_t count);

// "0,2,3": numbers from 0 to `count` - 1, each once; "all" is all of them. kInvalidArgument names
// the wrong one.
Result<std::vector<std::uint32_t>> parse_gpus(const std::string& list, std::uint32_t count);

// The setting `device` for the place's NIC, where nobody has named a Device: "" where the Net of
// `base` is no plugin.
[[nodiscard]] std::string device_at(const Options& base, const EnginePlace& place);

// The settings of the engine at `place`, the `index`-th of those that `base` is for: its name, its
// GPU, its NIC's Device where the Net is a plugin, and the listening port `index` above base's.
[[nodiscard]] Options options_at(const Options& base, const EnginePlace& place,
                                 std::uint32_t index);

}  // namespace sluice
