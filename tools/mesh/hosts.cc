#include "tools/mesh/hosts.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "src/base/settings.h"

namespace sluice::mesh {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// What may be a name, an IPv4 or an IPv6 address.
bool may_be_host(std::string_view word) {
  for (const char c : word) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && std::string_view(".-_:%").find(c) == std::string_view::npos) return false;
  }
  return word.size() <= 255;
}

struct Variables {
  const char* rank;
  const char* size;  // nullptr: it does not tell.
};
// mpirun under Slurm sets both: Open MPI's count.
constexpr std::array<Variables, 4> kLaunchers = {{{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                                  {"PMI_RANK", "PMI_SIZE"},
                                                  {"SLURM_PROCID", "SLURM_NTASKS"},
                                                  {"JOB_COMPLETION_INDEX", nullptr}}};

Result<std::uint32_t> number_of(const char* variable, const char* text) {
  const Result<std::uint64_t> number = parse_number(text);
  if (number.ok() && *number <= kMostHosts) return static_cast<std::uint32_t>(*number);
  return Status(StatusCode::kInvalidArgument,
                fmt::format("{}=\"{}\" is no number from 0 to {}", variable, text, kMostHosts));
}

}  // namespace

Result<std::vector<std::string>> parse_hosts(std::string_view text) {
  std::vector<std::string> hosts;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line = trim(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const std::string_view host = line.substr(0, line.find_first_of(" \t"));
    const std::string_view rest = trim(line.substr(host.size()));
    const bool known = rest.empty() || rest.starts_with("slots=") || rest.starts_with("max_slots=");
    if (!may_be_host(host) || !known) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("line {} of the hosts is no name or address", number));
    }
    if (hosts.size() == kMostHosts) {
      return Status(StatusCode::kInvalidArgument, fmt::format("over {} hosts", kMostHosts));
    }
    hosts.emplace_back(host);
  }
  if (hosts.size() >= 2) return hosts;
  return Status(StatusCode::kInvalidArgument,
                fmt::format("{} hosts: a mesh has at least 2", hosts.size()));
}

Result<std::optional<Launched>> find_launcher(const std::function<const char*(const char*)>& get) {
  for (const Variables& variables : kLaunchers) {
    const char* rank_text = get(variables.rank);
    if (rank_text == nullptr) continue;
    const Result<std::uint32_t> rank = number_of(variables.rank, rank_text);
    if (!rank.ok()) return rank.status();
    Launched launched{*rank, std::nullopt, variables.rank};
    const char* size_text = variables.size == nullptr ? nullptr : get(variables.size);
    if (size_text != nullptr) {
      const Result<std::uint32_t> size = number_of(variables.size, size_text);
      if (!size.ok()) return size.status();
      launched.size = *size;
    }
    return std::optional<Launched>(std::move(launched));
  }
  return std::optional<Launched>();
}

Result<std::optional<Launched>> find_launcher() {
  return find_launcher([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace sluice::mesh
