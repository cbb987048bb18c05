#include "src/base/cores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "src/base/settings.h"

namespace sluice {

Result<cpu_set_t> parse_cores(std::string_view list) {
  const Status refusal(StatusCode::kInvalidArgument,
                       fmt::format("cores: \"{}\" is no list of cores, as 0-3,8 is", list));
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (std::string_view rest = list;;) {
    const std::string_view range = rest.substr(0, rest.find(','));
    const std::size_t dash = range.find('-');
    const Result<std::uint64_t> first = parse_number(range.substr(0, dash));
    const Result<std::uint64_t> last =
        dash == std::string_view::npos ? first : parse_number(range.substr(dash + 1));
    if (!first.ok() || !last.ok() || *last >= CPU_SETSIZE || *first > *last) return refusal;
    for (std::uint64_t core = *first; core <= *last; ++core) CPU_SET(core, &cores);
    if (range.size() == rest.size()) return cores;
    rest.remove_prefix(range.size() + 1);
  }
}

Status run_on_cores(std::string_view list) {
  if (list.empty()) return {};
  const Result<cpu_set_t> cores = parse_cores(list);
  if (!cores.ok()) return cores.status();
  if (::sched_setaffinity(0, sizeof(*cores), &*cores) == 0) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("cores: this process may not use any of {}", list)};
}

}  // namespace sluice
