// Who takes part in a mesh: the file of hosts, and which of them this process is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/status.h"

namespace sluice::mesh {

inline constexpr std::size_t kMostHosts = 1024;

// A name or address a line, rank 0 first; # begins a comment. What Open MPI's host files have
// behind a name ("slots=8") is skipped. kInvalidArgument names the line.
Result<std::vector<std::string>> parse_hosts(std::string_view text);

// A process's place, as the program that started it says.
struct Launched {
  std::uint32_t rank = 0;
  std::optional<std::uint32_t> size;  // Processes in all, where the launcher tells.
  std::string by;                     // The variable: "SLURM_PROCID".
};

// From the environment of Open MPI, PMI (MPICH, Intel MPI), Slurm or an indexed Job of Kubernetes,
// the first that is there; nullopt: none. kInvalidArgument names what is malformed. `get` is
// getenv(3).
Result<std::optional<Launched>> find_launcher(const std::function<const char*(const char*)>& get);
// The same with this process's environment.
Result<std::optional<Launched>> find_launcher();

}  // namespace sluice::mesh
