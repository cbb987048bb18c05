#include "src/topology/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNvidia = "0x10de";  // PCI vendor
constexpr std::string_view kDisplayController =
    "0x03";                                  // PCI class; 0x0302 is a GPU without screen
constexpr std::string_view kEthernet = "1";  // ARPHRD_ETHER, linux/if_arp.h
// More than any file that is read here; what is longer is not one of them.
constexpr std::size_t kLongest = 4096;

// The first line of a small file; "" when there is none.
std::string read_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  if (!in || line.size() > kLongest) return "";
  return line;
}

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int> read_number(const fs::path& file) { return parse_number(read_line(file)); }

// "0000:04:00.0"
bool is_pci_address(std::string_view text) {
  constexpr std::string_view kForm = "xxxx:xx:xx.x";
  if (text.size() != kForm.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex = std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
    if (kForm[i] == 'x' ? !hex : text[i] != kForm[i]) return false;
  }
  return true;
}

// Where the device whose folder a link leads to sits: .../pci0000:00/0000:00:01.0/0000:04:00.0,
// and for a virtio NIC one folder more.
PciPlace place_of(const fs::path& link) {
  PciPlace place;
  std::error_code error;
  const fs::path folder = fs::canonical(link, error);
  if (error) return place;
  fs::path device;
  fs::path walked;
  for (const fs::path& part : folder) {
    walked /= part;
    const std::string name = part.string();
    if (name.starts_with("pci")) place.root = name;
    if (!is_pci_address(name)) continue;
    if (!place.address.empty()) place.above.push_back(place.address);
    place.address = name;
    device = walked;
  }
  if (!place.address.empty()) place.numa_node = read_number(device / "numa_node").value_or(-1);
  return place;
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    found.push_back(at->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<GpuPlace> read_gpus(const fs::path& sysfs) {
  std::vector<GpuPlace> gpus;
  for (const fs::path& device : entries(sysfs / "bus/pci/devices")) {
    if (read_line(device / "vendor") != kNvidia) continue;
    if (!read_line(device / "class").starts_with(kDisplayController)) continue;
    gpus.push_back({place_of(device)});
  }
  return gpus;
}

// Those with a device behind them: not bridges, tunnels or loopback.
std::vector<NicPlace> read_nics(const fs::path& sysfs) {
  std::vector<NicPlace> nics;
  for (const fs::path& interface : entries(sysfs / "class/net")) {
    std::error_code error;
    if (!fs::exists(interface / "device", error)) continue;
    if (read_line(interface / "type") != kEthernet) continue;
    NicPlace nic;
    nic.name = interface.filename().string();
    nic.pci = place_of(interface / "device");
    // Mbit/s; -1 or no answer while the link is down or where nobody knows.
    nic.gbits_per_s = std::max(read_number(interface / "speed").value_or(0), 0) / 1000.0;
    nics.push_back(std::move(nic));
  }
  return nics;
}

std::vector<NumaNode> read_nodes(const fs::path& sysfs) {
  constexpr std::string_view kPrefix = "node";
  std::vector<NumaNode> nodes;
  for (const fs::path& folder : entries(sysfs / "devices/system/node")) {
    const std::string name = folder.filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const auto id = parse_number(std::string_view(name).substr(kPrefix.size()));
    if (!id) continue;
    nodes.push_back({*id, read_line(folder / "cpulist")});
  }
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return nodes;
}

}  // namespace

Result<Machine> read_machine(const std::string& sysfs) {
  const fs::path root(sysfs);
  std::error_code error;
  if (!fs::is_directory(root / "class/net", error)) {
    return Status(StatusCode::kNotFound,
                  fmt::format("{} is no sysfs tree: it has no class/net", sysfs));
  }
  return Machine{read_gpus(root), read_nics(root), read_nodes(root)};
}

Distance distance(const PciPlace& a, const PciPlace& b) {
  if (!a.root.empty() && a.root == b.root) {
    const bool shared = !a.above.empty() && !b.above.empty() && a.above.front() == b.above.front();
    return shared ? Distance::kSwitch : Distance::kHostBridge;
  }
  return a.numa_node >= 0 && a.numa_node == b.numa_node ? Distance::kNode : Distance::kSystem;
}

std::string_view to_string(Distance distance) {
  switch (distance) {
    case Distance::kSwitch:
      return "same switch";
    case Distance::kHostBridge:
      return "same host bridge";
    case Distance::kNode:
      return "same NUMA node";
    case Distance::kSystem:
      return "across the system";
  }
  return "?";
}

}  // namespace sluice
