// What a host says of itself in files, read below a root that may be a recorded tree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/topology/machine.h"

namespace sluice::doctor {

// Reads "<root>/proc/...", "<root>/sys/...".
class HostFiles {
 public:
  // "" is this machine.
  explicit HostFiles(std::string root = "") : root_(std::move(root)) {}

  [[nodiscard]] const std::string& root() const { return root_; }
  // The first line; nothing where there is no such file, or it cannot be read.
  [[nodiscard]] std::optional<std::string> line(const std::string& path) const;
  // The last number of that line: the maximum of "4096 131072 6291456".
  [[nodiscard]] std::optional<std::uint64_t> last_number(const std::string& path) const;
  // The name that a symbolic link ends in; "" where it is none.
  [[nodiscard]] std::string link_name(const std::string& path) const;

 private:
  std::string root_;
};

struct NicFacts {
  std::string name;
  std::optional<std::uint64_t> mtu;          // bytes
  std::optional<std::uint64_t> speed_mbits;  // Nothing where the driver does not say.
  std::string state;                         // operstate: "up"
  std::string driver;                        // "gve"; "" if unknown
  int numa_node = -1;
  // Headers and payload are received into different memory, which device memory needs. Nothing
  // where the driver has no such flag.
  std::optional<bool> header_split;
};

// The physical NICs of `machine`. The flags of a driver are asked of this machine alone (an empty
// root).
[[nodiscard]] std::vector<NicFacts> read_nics(const HostFiles& files, const Machine& machine);

}  // namespace sluice::doctor
