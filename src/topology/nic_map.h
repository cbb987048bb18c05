// Which NIC each GPU uses: near ones first, as few GPUs on one as can be.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/status.h"
#include "src/topology/machine.h"

namespace sluice {

struct NicChoice {
  std::size_t nic = 0;  // Index in Machine::nics.
  std::string why;      // "same switch", "given", "the map of A3-High"
};

// One choice for each GPU, in their order; empty without GPUs or without NICs.
//
// `given` is what the user knows better: "gpu0=eth1,gpu1=eth1". GPUs that it does not name are
// mapped as without it. kInvalidArgument, naming what there is: not of this form, or a GPU or NIC
// that is not there.
//
// A virtual machine may show a flat PCI tree. GCP's A3-High is known by its PCI addresses, and gets
// the map that Google states for it (a3vm_gpu_rxq_configurator in google/tcpgpudmarxd).
Result<std::vector<NicChoice>> map_nics(const Machine& machine, std::string_view given = "");

}  // namespace sluice
