#include "src/orchestrator/engine_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "src/base/settings.h"

namespace sluice {
namespace {

// "" for an unknown node.
std::string cores_of(const Machine& machine, int node) {
  for (const NumaNode& one : machine.nodes) {
    if (one.id == node) return one.cpus;
  }
  return "";
}

}  // namespace

std::vector<EnginePlace> gpu_places(const Machine& machine, std::span<const NicChoice> map,
                                    std::span<const std::uint32_t> gpus) {
  std::vector<EnginePlace> places;
  for (const std::uint32_t gpu : gpus) {
    EnginePlace place{fmt::format("gpu{}", gpu), static_cast<int>(gpu), "", ""};
    if (gpu < map.size()) {
      const NicPlace& nic = machine.nics[map[gpu].nic];
      place.nic = nic.name;
      place.cores = cores_of(machine, nic.pci.numa_node);
    }
    if (place.cores.empty() && gpu < machine.gpus.size()) {
      place.cores = cores_of(machine, machine.gpus[gpu].pci.numa_node);
    }
    places.push_back(std::move(place));
  }
  return places;
}

std::vector<EnginePlace> host_places(const Machine& machine, std::uint32_t count) {
  std::vector<EnginePlace> places;
  for (std::uint32_t i = 0; i < count; ++i) {
    EnginePlace place{fmt::format("host{}", i), -1, "", ""};
    if (!machine.nics.empty()) {
      const NicPlace& nic = machine.nics[i % machine.nics.size()];
      place.nic = nic.name;
      place.cores = cores_of(machine, nic.pci.numa_node);
    } else if (!machine.nodes.empty()) {
      place.cores = machine.nodes[i % machine.nodes.size()].cpus;
    }
    places.push_back(std::move(place));
  }
  return places;
}

Result<std::vector<std::uint32_t>> parse_gpus(const std::string& list, std::uint32_t count) {
  std::vector<std::uint32_t> gpus;
  if (list == "all") {
    for (std::uint32_t i = 0; i < count; ++i) gpus.push_back(i);
    return gpus;
  }
  for (std::string_view rest = list;;) {
    const std::string_view one = rest.substr(0, rest.find(','));
    const Result<std::uint64_t> number = parse_number(one);
    const bool known = number.ok() && *number < count;
    if (!known || std::find(gpus.begin(), gpus.end(), *number) != gpus.end()) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("gpus: \"{}\" is {}, legal are all, or numbers below {} separated "
                                "by commas",
                                one, known ? "named twice" : "no GPU here", count));
    }
    gpus.push_back(static_cast<std::uint32_t>(*number));
    if (one.size() == rest.size()) return gpus;
    rest.remove_prefix(one.size() + 1);
  }
}

std::string device_at(const Options& base, const EnginePlace& place) {
  return base.net == "tcp" || place.nic.empty() ? "" : place.nic + "?";
}

Options options_at(const Options& base, const EnginePlace& place, std::uint32_t index) {
  Options options = base;
  options.name = base.name.empty() ? place.name : fmt::format("{}/{}", base.name, place.name);
  if (place.gpu >= 0) options.gpu = fmt::format("{}", place.gpu);
  if (options.device.empty()) options.device = device_at(base, place);
  if (base.listen_port != 0) {
    options.listen_port = static_cast<std::uint16_t>(base.listen_port + index);
  }
  return options;
}

}  // namespace sluice
