// How one warp copies one unit, whatever its alignment. Sixteen bytes a lane and access, a lane's
// accesses all in flight before the first is used: what hides the latency of PCIe and of HBM.
#pragma once

#include <cstdint>

#include "src/gpu/copy_pieces.h"

namespace sluice {

inline constexpr int kVectorsInFlight = 8;  // Of one lane: a unit of 4 KiB in one go.
inline constexpr std::uint32_t kVector = sizeof(uint4);

__device__ inline void copy_bytes(const char* from, char* to, std::uint32_t length,
                                  std::uint32_t lane) {
  for (std::uint32_t i = lane; i < length; i += kLanes) to[i] = from[i];
}

// Both aligned to 16.
__device__ inline void copy_aligned(const uint4* from, uint4* to, std::uint32_t vectors,
                                    std::uint32_t lane) {
  for (std::uint32_t base = lane; base < vectors; base += kLanes * kVectorsInFlight) {
    uint4 held[kVectorsInFlight];
#pragma unroll
    for (int k = 0; k < kVectorsInFlight; ++k) {
      if (base + k * kLanes < vectors) held[k] = __ldcs(from + base + k * kLanes);
    }
#pragma unroll
    for (int k = 0; k < kVectorsInFlight; ++k) {
      if (base + k * kLanes < vectors) __stcs(to + base + k * kLanes, held[k]);
    }
  }
}

// Sixteen bytes that begin `shift` bytes (1 to 15) into `low`, and go on in `high`.
__device__ inline uint4 shifted(const uint4& low, const uint4& high, std::uint32_t shift) {
  std::uint32_t words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  // By whole words first, in two steps that need no index known only at run time.
  if ((shift & 8) != 0) {
#pragma unroll
    for (int i = 0; i < 6; ++i) words[i] = words[i + 2];
  }
  if ((shift & 4) != 0) {
#pragma unroll
    for (int i = 0; i < 5; ++i) words[i] = words[i + 1];
  }
  const std::uint32_t bits = (shift & 3) * 8;
  return {__funnelshift_r(words[0], words[1], bits), __funnelshift_r(words[1], words[2], bits),
          __funnelshift_r(words[2], words[3], bits), __funnelshift_r(words[3], words[4], bits)};
}

// `to` is aligned, the bytes wanted begin `shift` bytes into *from: each lane reads aligned vectors
// and takes what it lacks from its neighbour, so that every byte is read once. Reads vectors + 1.
__device__ inline void copy_shifted(const uint4* from, uint4* to, std::uint32_t vectors,
                                    std::uint32_t shift, std::uint32_t lane) {
  constexpr int kDepth = 4;
  for (std::uint32_t base = 0; base < vectors; base += kLanes * kDepth) {
    uint4 held[kDepth], last[kDepth];
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      const std::uint32_t at = base + k * kLanes + lane;
      if (at <= vectors) held[k] = __ldcs(from + at);
      if (lane == kLanes - 1 && at + 1 <= vectors) last[k] = __ldcs(from + at + 1);
    }
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      uint4 next;
      next.x = __shfl_down_sync(~0u, held[k].x, 1);
      next.y = __shfl_down_sync(~0u, held[k].y, 1);
      next.z = __shfl_down_sync(~0u, held[k].z, 1);
      next.w = __shfl_down_sync(~0u, held[k].w, 1);
      if (lane == kLanes - 1) next = last[k];
      const std::uint32_t at = base + k * kLanes + lane;
      if (at < vectors) __stcs(to + at, shifted(held[k], next, shift));
    }
  }
}

// Reads no byte outside of the unit. All lanes of a warp together.
__device__ inline void copy_unit(const CopyUnit& unit, std::uint32_t lane) {
  const auto* const from = reinterpret_cast<const char*>(unit.from());
  auto* const to = reinterpret_cast<char*>(unit.to());
  const std::uint32_t length = unit.length();
  std::uint32_t head = -reinterpret_cast<std::uintptr_t>(to) % kVector;
  const std::uint32_t shift = (reinterpret_cast<std::uintptr_t>(from) + head) % kVector;
  if (head < shift) head += kVector;  // The aligned vector before from + head is all ours, too.
  // Vectors of `from` that lie inside of it, counted from the one that from + head is in.
  const std::uint32_t inside = head > length ? 0 : (length - head + shift) / kVector;
  const std::uint32_t vectors = shift == 0 ? inside : inside - (inside > 0 ? 1 : 0);
  if (vectors == 0) {
    copy_bytes(from, to, length, lane);
    return;
  }
  copy_bytes(from, to, head, lane);
  const auto* source = reinterpret_cast<const uint4*>(from + head - shift);
  auto* target = reinterpret_cast<uint4*>(to + head);
  if (shift == 0) {
    copy_aligned(source, target, vectors, lane);
  } else {
    copy_shifted(source, target, vectors, shift, lane);
  }
  const std::uint32_t done = head + vectors * kVector;
  copy_bytes(from + done, to + done, length - done, lane);
}

}  // namespace sluice
