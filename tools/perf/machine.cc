#include "tools/perf/machine.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <string_view>

#include "src/base/settings.h"

namespace sluice::perf {
namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// What follows "name :" in a file of such lines.
std::string field_of(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

// A field of /proc/meminfo, "24649420 kB", in bytes.
std::uint64_t meminfo(std::string_view name) {
  const std::string text = field_of("/proc/meminfo", name);
  const Result<std::uint64_t> kib = parse_number(text.substr(0, text.find(' ')));
  return kib.ok() ? *kib * 1024 : 0;
}

std::uint32_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<std::uint32_t>(CPU_COUNT(&set));
}

// The word in brackets: "always [madvise] never".
std::string bracketed(const std::string& line) {
  const std::size_t open = line.find('[');
  const std::size_t close = line.find(']', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return "";
  return line.substr(open + 1, close - open - 1);
}

}  // namespace

Machine describe_machine() {
  Machine machine;
  machine.cpu = field_of("/proc/cpuinfo", "model name");
  machine.cores = usable_cores();
  machine.memory_bytes = meminfo("MemTotal");
  utsname name{};
  if (::uname(&name) == 0) machine.kernel = fmt::format("{} {}", name.sysname, name.release);
  machine.congestion_control = first_line("/proc/sys/net/ipv4/tcp_congestion_control");
  machine.transparent_huge_pages =
      bracketed(first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
  return machine;
}

std::uint64_t available_memory() {
  const std::uint64_t available = meminfo("MemAvailable");
  const Result<std::uint64_t> limit = parse_number(first_line("/sys/fs/cgroup/memory.max"));
  const Result<std::uint64_t> used = parse_number(first_line("/sys/fs/cgroup/memory.current"));
  if (!limit.ok() || !used.ok()) return available;
  return std::min(available, *limit - std::min(*limit, *used));
}

}  // namespace sluice::perf
