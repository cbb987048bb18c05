// The checks of one host. Each looks at facts that were read before, so that every verdict can be
// had from a recorded tree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/doctor/finding.h"
#include "tools/doctor/host_facts.h"

namespace sluice::doctor {

// NICs: state, MTU, link speed, header split, NUMA node.
[[nodiscard]] Findings check_nics(const std::vector<NicFacts>& nics, const Machine& machine);

// The kernel: socket buffers, congestion control, huge pages, CPU frequency, clock.
[[nodiscard]] Findings check_kernel(const HostFiles& files);

// What this process may use: descriptors, locked memory, cores.
struct Limits {
  std::uint64_t descriptors = 0;
  std::uint64_t locked_bytes = 0;      // UINT64_MAX: no limit
  std::vector<std::uint32_t> cores{};  // That it may run on.
};
[[nodiscard]] Limits read_limits();
[[nodiscard]] Findings check_limits(const Limits& limits, const Machine& machine, bool pins_memory);

// The GPU driver, and whether it can hand out dma-bufs. `usable`: GPUs that CUDA sees.
[[nodiscard]] Findings check_gpus(const HostFiles& files, const Machine& machine,
                                  std::uint32_t usable);

// The plugin that `net` names, as far as can be said without initialising it; then rxdm, if that is
// GPUDirect-TCPX.
[[nodiscard]] Findings check_plugin(const std::string& net, const std::string& rxdm_folder);
// Whether rxdm listens in the folder in which the plugin looks for it.
[[nodiscard]] Finding check_rxdm(const std::string& folder);

}  // namespace sluice::doctor
