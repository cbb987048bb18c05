#include "src/topology/nic_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <tuple>

namespace sluice {
namespace {

struct A3High {
  std::string_view nic;
  std::array<std::string_view, 2> gpus;
};
constexpr std::array<A3High, 4> kA3High{{
    {"0000:06:00.0", {"0000:04:00.0", "0000:05:00.0"}},
    {"0000:0c:00.0", {"0000:0a:00.0", "0000:0b:00.0"}},
    {"0000:86:00.0", {"0000:84:00.0", "0000:85:00.0"}},
    {"0000:8c:00.0", {"0000:8a:00.0", "0000:8b:00.0"}},
}};

using Choices = std::vector<std::optional<NicChoice>>;

std::optional<std::size_t> nic_at(const Machine& machine, std::string_view address) {
  for (std::size_t i = 0; i < machine.nics.size(); ++i) {
    if (machine.nics[i].pci.address == address) return i;
  }
  return std::nullopt;
}

// All of its GPUs and NICs, or it is another machine.
void choose_as_a3_high(const Machine& machine, Choices& choices) {
  Choices found(machine.gpus.size());
  for (const A3High& one : kA3High) {
    const auto nic = nic_at(machine, one.nic);
    if (!nic) return;
    for (std::size_t gpu = 0; gpu < machine.gpus.size(); ++gpu) {
      const auto& address = machine.gpus[gpu].pci.address;
      if (std::find(one.gpus.begin(), one.gpus.end(), address) != one.gpus.end()) {
        found[gpu] = {*nic, "the map of A3-High"};
      }
    }
  }
  if (found.size() != 2 * kA3High.size()) return;
  for (const auto& choice : found) {
    if (!choice) return;
  }
  for (std::size_t gpu = 0; gpu < found.size(); ++gpu) {
    if (!choices[gpu]) choices[gpu] = found[gpu];
  }
}

Status misread(std::string_view part, std::string_view why) {
  return {StatusCode::kInvalidArgument,
          fmt::format("map: \"{}\": {}; it is gpu0=eth1,gpu1=eth2", part, why)};
}

std::string names_of(const std::vector<NicPlace>& nics) {
  std::string names;
  for (const NicPlace& nic : nics) names += (names.empty() ? "" : ", ") + nic.name;
  return names.empty() ? "none" : names;
}

Status choose_given(const Machine& machine, std::string_view part, Choices& choices) {
  constexpr std::string_view kGpu = "gpu";
  const std::size_t equals = part.find('=');
  if (!part.starts_with(kGpu) || equals == std::string_view::npos) {
    return misread(part, "not of the form gpuN=NIC");
  }
  std::size_t gpu = 0;
  const char* const end = part.data() + equals;
  const auto parsed = std::from_chars(part.data() + kGpu.size(), end, gpu);
  if (parsed.ec != std::errc() || parsed.ptr != end) return misread(part, "no number after gpu");
  if (gpu >= machine.gpus.size()) {
    return misread(part, fmt::format("there are {} GPUs", machine.gpus.size()));
  }
  if (choices[gpu]) return misread(part, fmt::format("GPU {} is named twice", gpu));
  const std::string_view name = part.substr(equals + 1);
  const auto nic = std::find_if(machine.nics.begin(), machine.nics.end(),
                                [&](const NicPlace& one) { return one.name == name; });
  if (nic == machine.nics.end()) {
    return misread(part, fmt::format("the NICs are {}", names_of(machine.nics)));
  }
  choices[gpu] = {static_cast<std::size_t>(nic - machine.nics.begin()), "given"};
  return {};
}

// Near first, then whoever has the fewest GPUs for its speed, then by name.
void choose_by_distance(const Machine& machine, Choices& choices) {
  std::vector<std::size_t> gpus_on(machine.nics.size(), 0);
  for (const auto& choice : choices) {
    if (choice) ++gpus_on[choice->nic];
  }
  for (std::size_t gpu = 0; gpu < choices.size(); ++gpu) {
    if (choices[gpu]) continue;
    const auto rank = [&](std::size_t nic) {
      const NicPlace& place = machine.nics[nic];
      const double speed = std::max(place.gbits_per_s, 1.0);
      return std::tuple(distance(machine.gpus[gpu].pci, place.pci),
                        static_cast<double>(gpus_on[nic] + 1) / speed, nic);
    };
    std::size_t best = 0;
    for (std::size_t nic = 1; nic < machine.nics.size(); ++nic) {
      if (rank(nic) < rank(best)) best = nic;
    }
    const Distance far = distance(machine.gpus[gpu].pci, machine.nics[best].pci);
    choices[gpu] = {best, std::string(to_string(far))};
    ++gpus_on[best];
  }
}

}  // namespace

Result<std::vector<NicChoice>> map_nics(const Machine& machine, std::string_view given) {
  Choices choices(machine.gpus.size());
  while (!given.empty()) {
    const std::size_t comma = std::min(given.find(','), given.size());
    Status status = choose_given(machine, given.substr(0, comma), choices);
    if (!status.ok()) return status;
    given.remove_prefix(std::min(comma + 1, given.size()));
  }
  if (machine.nics.empty()) return std::vector<NicChoice>();
  choose_as_a3_high(machine, choices);
  choose_by_distance(machine, choices);
  std::vector<NicChoice> map;
  for (auto& choice : choices) map.push_back(std::move(*choice));
  return map;
}

}  // namespace sluice
