// What a client is going to measure: sizes, how long, how much of it is checked; and how messages
// are laid out in a region. Arithmetic only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/status.h"
#include "src/base/settings.h"

namespace sluice::perf {

inline constexpr std::uint64_t kLargestMessage = 8ull << 30;   // bytes
inline constexpr std::uint64_t kMostMessages = 1'000'000'000;  // in one run
inline constexpr std::uint32_t kMostDepth = 256;

enum class Verify : std::uint8_t { kFirst, kAll, kNone };
enum class Phase : std::uint8_t {
  kBandwidth,  // `depth` messages outstanding, one way or both.
  kLatency,    // One message at a time, there and back.
};

enum class Op : std::uint8_t { kSend, kWrite, kRead };
enum class BlockOrder : std::uint8_t {
  kContiguous,
  kRandom,   // Other places at each end.
  kStrided,  // A gap as long as a block behind each.
};

// What one write or read consists of.
struct Blocks {
  std::uint64_t count = 1;
  std::uint64_t bytes = 0;  // Of each.
  BlockOrder order = BlockOrder::kContiguous;

  // From the first byte to the last.
  [[nodiscard]] std::uint64_t span() const;
  // Where each lies; `end` 0 and 1 differ where the order is random.
  [[nodiscard]] std::vector<std::uint64_t> places(std::uint32_t end) const;
};
inline constexpr std::uint64_t kMostBlocks = 1'000'000;

struct Plan {
  Op op = Op::kSend;
  Blocks blocks;                     // Of one-sided operations; 0 bytes: one block of the size.
  std::vector<std::uint64_t> sizes;  // bytes
  std::uint64_t iterations = 0;      // 0: as many as phase_seconds take
  std::uint64_t warmup = 0;          // At least so many messages before.
  std::uint32_t depth = 1;
  double phase_seconds = 1;
  Verify verify = Verify::kFirst;
  bool both_directions = false;
  std::uint64_t beside = 0;  // Bytes of each one-sided transfer that goes on beside; 0: none does.
  bool urgent = false;       // The one-sided operations that are measured.
};

// As the command line and JSON have them.
[[nodiscard]] const char* to_string(Op op);
[[nodiscard]] const char* to_string(BlockOrder order);

// kInvalidArgument names the size that is none, or too large.
Result<Plan> make_plan(const PerfOptions& options, bool both_directions);
Result<std::vector<std::uint64_t>> parse_sizes(std::string_view list);

// Where the messages of one direction lie in a region: message i in slot i modulo `slots`.
struct Lane {
  std::uint64_t first = 0;   // bytes
  std::uint64_t stride = 0;  // bytes
  std::uint64_t slots = 0;

  [[nodiscard]] std::uint64_t offset(std::uint64_t message) const {
    return first + message % slots * stride;
  }
};

// How a region is divided into slots for messages of one size.
struct Layout {
  std::uint64_t region_bytes = 0;
  std::uint64_t first = 0;  // Where they begin.
  std::uint64_t stride = 0;
  std::uint64_t slots = 0;

  // Lanes that share no slot. With one slot, they are the same: enough for messages that go there
  // and back one at a time.
  [[nodiscard]] Lane send_lane() const;
  [[nodiscard]] Lane recv_lane() const;
  // The whole region, for messages that go one way.
  [[nodiscard]] Lane only_lane() const { return {first, stride, slots}; }
};

// A region of 64 MiB, or twice `size` if that is more, so that messages do not stay in the cache;
// less where `available` memory (bytes) is short, but always `least_slots` messages. kUnavailable
// where even that is too much. Before them, `beside` bytes for something else.
Result<Layout> make_layout(std::uint64_t size, std::uint64_t least_slots, std::uint64_t beside,
                           std::uint64_t available);

// How many messages fill `seconds`, after `messages` took `took` seconds. 1 to kMostMessages.
[[nodiscard]] std::uint64_t messages_for(double seconds, std::uint64_t messages, double took);

// How many of a run's messages are checked when it is the first of its phase, or a later one.
[[nodiscard]] std::uint64_t checked_in_first(Verify verify, std::uint64_t count);
[[nodiscard]] std::uint64_t checked_in_later(Verify verify, std::uint64_t count);

}  // namespace sluice::perf
