#include "src/net/tcp/tcp_device.h"

#include <climits>
#include <cstdlib>
#include <fstream>

#include "src/net/tcp/chunk_stream.h"

namespace sluice {
namespace {

// -1 if there is no such file, or no number in it: /sys answers so for virtual interfaces too.
int number_in(const std::string& path) {
  std::ifstream file(path);
  int value = -1;
  file >> value;
  return file ? value : -1;
}

}  // namespace

Device tcp_device(const std::string& interface, std::uint32_t window) {
  Device device;
  device.name = interface.empty() ? "tcp" : interface;
  device.delivery = Delivery::kInPlace;
  device.largest_chunk = kLargestTcpChunk;
  device.most_in_flight = window;
  device.most_pieces = kMostTcpPieces;
  device.takes_remainders = true;
  if (interface.empty()) return device;
  const std::string root = "/sys/class/net/" + interface;
  char resolved[PATH_MAX];
  if (::realpath((root + "/device").c_str(), resolved) != nullptr) device.pci_path = resolved;
  device.numa_node = number_in(root + "/device/numa_node");
  const int megabits = number_in(root + "/speed");
  if (megabits > 0) device.gbits_per_s = megabits / 1000.0;
  return device;
}

}  // namespace sluice
