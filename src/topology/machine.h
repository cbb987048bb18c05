// What of a machine decides which NIC is near which GPU: its GPUs, NICs and NUMA nodes, read from
// sysfs. The root is a parameter, so that a tree recorded elsewhere can be read too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/status.h"

namespace sluice {

// A place in the PCI tree.
struct PciPlace {
  std::string address;             // "0000:04:00.0", lower case
  std::string root;                // "pci0000:00": the host bridge it hangs on
  std::vector<std::string> above;  // Addresses of the bridges from the root down to it.
  int numa_node = -1;              // -1: unknown, which is what virtual machines often say.
};

struct GpuPlace {
  PciPlace pci;
};

struct NicPlace {
  std::string name;        // Of the interface: "eth1"
  PciPlace pci;            // address "" where it is not behind PCI
  double gbits_per_s = 0;  // 0: unknown
};

struct NumaNode {
  int id = 0;
  std::string cpus;  // As the kernel lists them: "0-51,104-155"
};

struct Machine {
  std::vector<GpuPlace> gpus;  // In the order of their PCI addresses, which is their index.
  std::vector<NicPlace> nics;  // Physical Ethernet interfaces, by name.
  std::vector<NumaNode> nodes;
};

// `sysfs` is "/sys", or where a recorded tree begins. kNotFound: nothing like sysfs is there. Reads
// a few hundred small files; any thread.
Result<Machine> read_machine(const std::string& sysfs);

// How far two devices are apart, nearest first.
enum class Distance : std::uint8_t {
  kSwitch,      // They share a bridge below the host bridge.
  kHostBridge,  // They share the host bridge.
  kNode,        // They share the NUMA node.
  kSystem,      // They share nothing, or nothing is known.
};
[[nodiscard]] Distance distance(const PciPlace& a, const PciPlace& b);
[[nodiscard]] std::string_view to_string(Distance distance);  // "same switch"

}  // namespace sluice
