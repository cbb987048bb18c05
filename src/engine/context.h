// What the parts of one engine share. Everything outlives them.
#pragma once

#include <cstdint>

#include "sluice/options.h"
#include "src/base/clock.h"
#include "src/engine/batches.h"
#include "src/engine/transfer.h"
#include "src/gpu/gpu.h"
#include "src/net/net.h"
#include "src/observe/recorder.h"

namespace sluice {

struct Context {
  const Options& options;
  Net& net;
  Gpu& gpu;
  const Clock& clock;
  TransferTable& transfers;
  PackBatch& packs;
  SumBatch& sums;
  Recorder& recorder;
  std::uint32_t device;       // Of net.
  std::uint32_t channels;     // Per peer and direction.
  std::uint32_t window;       // Chunks in flight on a channel.
  std::uint64_t chunk_bytes;  // Largest chunk.
  std::uint32_t staging;      // Slots of a channel; they are chunk_bytes long.
  std::uint32_t most_pieces;  // Of a chunk that the Net takes as it lies.
};

}  // namespace sluice
