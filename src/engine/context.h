// What the parts of one engine share. Everything outlives them.
#pragma once

#include <cstdint>
#include <vector>

#include "sluice/options.h"
#include "src/base/clock.h"
#include "src/engine/transfer.h"
#include "src/gpu/gpu.h"
#include "src/net/net.h"

namespace sluice {

struct Context {
  const Options& options;
  Net& net;
  Gpu& gpu;
  const Clock& clock;
  TransferTable& transfers;
  std::uint32_t device;       // Of net.
  std::uint32_t channels;     // Per peer and direction.
  std::uint32_t window;       // Chunks in flight on a channel.
  std::uint64_t chunk_bytes;  // Largest chunk.
};

// What arrived as fragments in one pass, on all channels of all peers: one piece of work for the
// Gpu.
class UnpackBatch {
 public:
  explicit UnpackBatch(std::size_t capacity) { batch_.reserve(capacity); }

  [[nodiscard]] bool full() const { return batch_.size() == batch_.capacity(); }
  [[nodiscard]] bool empty() const { return batch_.empty(); }
  void add(const Unpack& unpack) { batch_.push_back(unpack); }
  // Starts it; the ticket, 0 when there was nothing.
  std::uint64_t launch(Gpu& gpu) {
    const std::uint64_t ticket = batch_.empty() ? 0 : gpu.unpack(batch_);
    batch_.clear();
    return ticket;
  }

 private:
  std::vector<Unpack> batch_;
};

}  // namespace sluice
