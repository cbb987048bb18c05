// A machine and its map of NICs, for people and for programs.
#pragma once

#include <span>
#include <string>

#include "src/topology/machine.h"
#include "src/topology/nic_map.h"

namespace sluice::tools {

// A line a GPU or NIC, by NUMA node.
[[nodiscard]] std::string topo_text(const Machine& machine, std::span<const NicChoice> map);
// {"gpus": [{"index", "pci", "numa_node", "nic", "why"}],
//  "nics": [{"name", "pci", "numa_node", "gbits_per_s"}], "numa_nodes": [{"id", "cpus"}]}
// "nic" and "why" are null without a NIC.
[[nodiscard]] std::string topo_json(const Machine& machine, std::span<const NicChoice> map);
// A box a NUMA node: its GPUs above, its NICs below, a line for each choice.
[[nodiscard]] std::string topo_svg(const Machine& machine, std::span<const NicChoice> map);

}  // namespace sluice::tools
