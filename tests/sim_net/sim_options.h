// What goes wrong in a simulated world, and how much of it. Everything is drawn from the seed: the
// same options give the same run.
#pragma once

#include <cstdint>

#include "src/base/clock.h"
#include "src/net/net.h"

namespace sluice::sim {

// Percentages are 0 to 100 and decide each case by itself; delays are the longest one, each is
// drawn from 0 to it.
struct SimOptions {
  std::uint64_t seed = 1;

  // Chunks.
  std::uint64_t largest_chunk = 4 << 20;
  std::uint32_t most_in_flight = 16;  // Per channel.
  Nanoseconds chunk_delay = 0;
  std::uint32_t busy_percent = 0;     // Posts answered Busy though there is room; at most 90.
  Nanoseconds busy_time = 20'000;     // Longest time for which a channel stays Busy.
  std::uint32_t buffered_chunks = 2;  // A send may be Done before its receive is posted: so many.
  bool poll_only = false;             // No wake_fd; a channel moves only while it is tested.
  bool late_wake = false;             // wake_fd as late as the contract allows.
  bool close_loses = false;           // What is on the way when its sender closes does not arrive.

  // Delivery.
  Delivery delivery = Delivery::kInPlace;
  std::uint64_t pool_bytes = 8 << 20;  // Bounce pool of one host; kFragments only.
  std::uint32_t page_bytes = 4096;     // A fragment lies in one page.
  bool takes_remainders = false;       // kInPlace only.
  Nanoseconds gpu_delay = 0;           // Of SimGpu.

  // Making channels.
  Nanoseconds make_delay = 0;
  std::uint32_t refuse_percent = 0;  // connect() that ends in Failed.

  // Channels that fail, at a chunk drawn from fail_from to fail_to.
  std::uint32_t fail_percent = 0;
  std::uint64_t fail_from = 0;
  std::uint64_t fail_to = 0;
  std::uint32_t most_failures = UINT32_MAX;  // So many in all.
  std::uint32_t lie_percent = 0;             // Chunks of which one bit is turned over on the way.

  // Control connections.
  Nanoseconds control_delay = 0;
  std::uint32_t short_io_percent = 0;  // Reads and writes that move less, often one byte.
  std::uint64_t control_buffer_bytes = 64 << 10;  // Written and not read yet, each way.
};

// Options in which everything that does not break a connection is drawn from `seed`.
[[nodiscard]] SimOptions draw_options(std::uint64_t seed);

}  // namespace sluice::sim
