#include "tools/perf/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace sluice::perf {
namespace {

constexpr std::uint64_t kSmallestRegion = 64ull << 20;
constexpr std::uint64_t kAlignment = 64;  // A cache line: neighbours do not share one.

Verify parse_verify(std::string_view text) {
  if (text == "all") return Verify::kAll;
  return text == "none" ? Verify::kNone : Verify::kFirst;
}

std::uint64_t round_up(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

}  // namespace

Result<std::vector<std::uint64_t>> parse_sizes(std::string_view list) {
  std::vector<std::uint64_t> sizes;
  while (true) {
    const std::size_t end = std::min(list.find(','), list.size());
    Result<std::uint64_t> size = parse_number(list.substr(0, end));
    const std::string legal = fmt::format("legal are 0 to {}", format_bytes(kLargestMessage));
    if (!size.ok()) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("size: {}, {}", size.status().message(), legal));
    }
    if (*size > kLargestMessage) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("size: {} is out of range, {}", list.substr(0, end), legal));
    }
    sizes.push_back(*size);
    if (end == list.size()) return sizes;
    list.remove_prefix(end + 1);
  }
}

Result<Plan> make_plan(const PerfOptions& options, bool both_directions) {
  if (Status status = validate(options); !status.ok()) return status;
  Result<std::vector<std::uint64_t>> sizes = parse_sizes(options.perf_size);
  if (!sizes.ok()) return sizes.status();
  Plan plan;
  plan.sizes = sizes.take();
  plan.iterations = options.perf_iterations;
  plan.warmup = options.perf_warmup;
  plan.depth = options.perf_depth;
  plan.phase_seconds = static_cast<double>(options.perf_phase_ms) / 1000;
  plan.verify = parse_verify(options.perf_verify);
  plan.both_directions = both_directions;
  return plan;
}

const char* to_string(Op op) {
  if (op == Op::kWrite) return "write";
  return op == Op::kRead ? "read" : "send";
}

const char* to_string(BlockOrder order) {
  if (order == BlockOrder::kRandom) return "random";
  return order == BlockOrder::kStrided ? "strided" : "contiguous";
}

std::uint64_t Blocks::span() const {
  return order == BlockOrder::kStrided ? (2 * count - 1) * bytes : count * bytes;
}

std::vector<std::uint64_t> Blocks::places(std::uint32_t end) const {
  std::vector<std::uint64_t> result(count);
  const std::uint64_t step = order == BlockOrder::kStrided ? 2 * bytes : bytes;
  for (std::uint64_t i = 0; i < count; ++i) result[i] = i * step;
  if (order == BlockOrder::kRandom) std::shuffle(result.begin(), result.end(), std::mt19937(end));
  return result;
}

Lane Layout::send_lane() const { return slots < 2 ? only_lane() : Lane{first, stride, slots / 2}; }

Lane Layout::recv_lane() const {
  return slots < 2 ? only_lane() : Lane{first + slots / 2 * stride, stride, slots / 2};
}

Result<Layout> make_layout(std::uint64_t size, std::uint64_t least_slots, std::uint64_t beside,
                           std::uint64_t available) {
  const std::uint64_t first = round_up(beside, kAlignment);
  const std::uint64_t stride = std::max(round_up(size, kAlignment), kAlignment);
  const std::uint64_t least = first + least_slots * stride;
  Layout layout{.region_bytes = first + std::max(kSmallestRegion, 2 * stride),
                .first = first,
                .stride = stride,
                .slots = 0};
  if (layout.region_bytes > available / 2) {
    layout.region_bytes = std::max(std::min(kSmallestRegion, available / 2), least);
  }
  if (layout.region_bytes > available / 4 * 3) {
    return Status(
        StatusCode::kUnavailable,
        fmt::format("messages of {} bytes{} need {} bytes of memory, and of {} bytes free no "
                    "more than three quarters are taken",
                    size, beside == 0 ? "" : fmt::format(" and {} bytes beside them", beside),
                    layout.region_bytes, available));
  }
  layout.slots = (layout.region_bytes - first) / stride;
  return layout;
}

std::uint64_t messages_for(double seconds, std::uint64_t messages, double took) {
  const double count = seconds * static_cast<double>(messages) / std::max(took, 1e-9);
  if (!(count > 1)) return 1;
  return count >= static_cast<double>(kMostMessages) ? kMostMessages
                                                     : static_cast<std::uint64_t>(count);
}

std::uint64_t checked_in_first(Verify verify, std::uint64_t count) {
  return verify == Verify::kNone ? 0 : count;
}

std::uint64_t checked_in_later(Verify verify, std::uint64_t count) {
  return verify == Verify::kAll ? count : 0;
}

}  // namespace sluice::perf
