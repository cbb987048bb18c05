#include "tools/topo_drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

namespace sluice::tools {
namespace {

// What hangs on one NUMA node, by index; -1 is the node of what does not say its own.
struct Group {
  std::vector<std::size_t> gpus;
  std::vector<std::size_t> nics;
  std::string cpus;
};

std::map<int, Group> groups_of(const Machine& machine) {
  std::map<int, Group> groups;
  for (const NumaNode& node : machine.nodes) groups[node.id].cpus = node.cpus;
  for (std::size_t i = 0; i < machine.gpus.size(); ++i) {
    groups[machine.gpus[i].pci.numa_node].gpus.push_back(i);
  }
  for (std::size_t i = 0; i < machine.nics.size(); ++i) {
    groups[machine.nics[i].pci.numa_node].nics.push_back(i);
  }
  return groups;
}

std::string heading(int node, const Group& group) {
  if (node < 0) return "NUMA node unknown";
  return fmt::format("NUMA node {}: cpus {}", node, group.cpus.empty() ? "unknown" : group.cpus);
}

std::string speed_of(const NicPlace& nic) {
  return nic.gbits_per_s > 0 ? fmt::format("{} Gbit/s", nic.gbits_per_s) : "speed unknown";
}

std::string pci_of(const PciPlace& pci) { return pci.address.empty() ? "no PCI" : pci.address; }

// Text of a recorded tree, which anybody may have written.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "&lt;";
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
  }
  return result;
}

constexpr int kBox = 130;  // All lengths in pixels.
constexpr int kGap = 20;
constexpr int kHigh = 46;
constexpr int kGpuY = 60;
constexpr int kNicY = 210;
constexpr int kHeight = 300;

class Drawing {
 public:
  explicit Drawing(const Machine& machine) : machine_(machine) {
    for (const auto& [node, group] : groups_of(machine)) add_group(node, group);
    width_ = std::max(left_, 2 * kGap + kBox);
  }

  std::string svg(std::span<const NicChoice> map) const {
    std::string lines;
    for (std::size_t gpu = 0; gpu < map.size(); ++gpu) {
      fmt::format_to(std::back_inserter(lines),
                     "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#555\" "
                     "stroke-width=\"2\"><title>{}</title></line>\n",
                     gpu_x_.at(gpu) + kBox / 2, kGpuY + kHigh, nic_x_.at(map[gpu].nic) + kBox / 2,
                     kNicY, escaped(map[gpu].why));
    }
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" "
        "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n{2}{3}{4}</svg>\n",
        width_, kHeight, frames_, lines, boxes_);
  }

 private:
  void add_group(int node, const Group& group) {
    const auto columns =
        std::max<int>(static_cast<int>(std::max(group.gpus.size(), group.nics.size())), 1);
    const int wide = columns * (kBox + kGap) + kGap;
    fmt::format_to(std::back_inserter(frames_),
                   "<rect x=\"{}\" y=\"10\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#f5f5f5\" "
                   "stroke=\"#bbb\"/>\n<text x=\"{}\" y=\"34\">{}</text>\n",
                   left_, wide, kHeight - kGap, left_ + kGap, escaped(heading(node, group)));
    for (std::size_t i = 0; i < group.gpus.size(); ++i) {
      const GpuPlace& gpu = machine_.gpus[group.gpus[i]];
      gpu_x_[group.gpus[i]] = place(i, group.gpus.size(), wide);
      add_box(gpu_x_[group.gpus[i]], kGpuY, "#dbe9f6", fmt::format("GPU {}", group.gpus[i]),
              pci_of(gpu.pci));
    }
    for (std::size_t i = 0; i < group.nics.size(); ++i) {
      const NicPlace& nic = machine_.nics[group.nics[i]];
      nic_x_[group.nics[i]] = place(i, group.nics.size(), wide);
      add_box(nic_x_[group.nics[i]], kNicY, "#e2f0d9",
              fmt::format("{}, {}", nic.name, speed_of(nic)), pci_of(nic.pci));
    }
    left_ += wide + kGap;
  }

  // `count` boxes spread over a frame.
  [[nodiscard]] int place(std::size_t index, std::size_t count, int wide) const {
    const int share = wide / static_cast<int>(count);
    return left_ + static_cast<int>(index) * share + (share - kBox) / 2;
  }

  void add_box(int x, int y, const char* colour, const std::string& name,
               const std::string& detail) {
    fmt::format_to(std::back_inserter(boxes_),
                   "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\" fill=\"{}\" "
                   "stroke=\"#777\"/>\n<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n"
                   "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{}</text>\n",
                   x, y, kBox, kHigh, colour, x + kBox / 2, y + 19, escaped(name), x + kBox / 2,
                   y + 36, escaped(detail));
  }

  const Machine& machine_;
  std::map<std::size_t, int> gpu_x_;
  std::map<std::size_t, int> nic_x_;
  std::string frames_;
  std::string boxes_;
  int left_ = kGap;
  int width_ = 0;
};

}  // namespace

std::string topo_text(const Machine& machine, std::span<const NicChoice> map) {
  std::string text;
  const auto out = std::back_inserter(text);
  for (const auto& [node, group] : groups_of(machine)) {
    fmt::format_to(out, "{}\n", heading(node, group));
    for (const std::size_t i : group.gpus) {
      fmt::format_to(out, "  GPU {:<3} {:<12}", i, pci_of(machine.gpus[i].pci));
      if (i < map.size()) {
        fmt::format_to(out, "  uses {} ({})", machine.nics[map[i].nic].name, map[i].why);
      }
      text += '\n';
    }
    for (const std::size_t i : group.nics) {
      const NicPlace& nic = machine.nics[i];
      fmt::format_to(out, "  NIC {:<10} {:<12}  {}\n", nic.name, pci_of(nic.pci), speed_of(nic));
    }
  }
  if (machine.gpus.empty()) text += "no GPU: host memory may use any NIC\n";
  if (machine.nics.empty()) text += "no physical NIC: loopback only\n";
  return text;
}

std::string topo_json(const Machine& machine, std::span<const NicChoice> map) {
  using nlohmann::json;
  json document{{"gpus", json::array()}, {"nics", json::array()}, {"numa_nodes", json::array()}};
  for (std::size_t i = 0; i < machine.gpus.size(); ++i) {
    const bool mapped = i < map.size();
    const PciPlace& pci = machine.gpus[i].pci;
    document["gpus"].push_back({{"index", i},
                                {"pci", pci.address},
                                {"numa_node", pci.numa_node},
                                {"nic", mapped ? json(machine.nics[map[i].nic].name) : json()},
                                {"why", mapped ? json(map[i].why) : json()}});
  }
  for (const NicPlace& nic : machine.nics) {
    document["nics"].push_back({{"name", nic.name},
                                {"pci", nic.pci.address},
                                {"numa_node", nic.pci.numa_node},
                                {"gbits_per_s", nic.gbits_per_s}});
  }
  for (const NumaNode& node : machine.nodes) {
    document["numa_nodes"].push_back({{"id", node.id}, {"cpus", node.cpus}});
  }
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string topo_svg(const Machine& machine, std::span<const NicChoice> map) {
  return Drawing(machine).svg(map);
}

}  // namespace sluice::tools
