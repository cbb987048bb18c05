// What write(), read() and notify() are made of before a peer hears of them: the regions of peers
// that were imported, and the payload of a Request. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sluice/engine.h"
#include "src/base/slot_pool.h"
#include "src/engine/layout.h"
#include "src/engine/region_export.h"

namespace sluice {

class RemoteRegions {
 public:
  explicit RemoteRegions(std::uint32_t most) : regions_(most) {}

  // `generation`: the peer's; 0 while it is not known, and then transfers find out once it is.
  Result<RemoteRegionId> add(PeerId peer, std::uint64_t generation, std::string_view bytes);
  Status remove(RemoteRegionId region);
  void forget(PeerId peer);  // All of it.

  // Puts regions, packed slices and notification into an empty layout's payload; `bytes` is the sum
  // of the slices. kNotFound, kInvalidArgument: a slice that cannot be; kDenied: not exported for
  // `need`.
  Status describe(PeerId peer, std::span<const RemoteSlice> slices, Access need,
                  const TransferOptions& options, Layout& layout, std::uint64_t& bytes);

 private:
  Status check(PeerId peer, const RemoteSlice& slice, Access need) const;
  Status pack(PeerId peer, std::span<const RemoteSlice> slices, Access need, Layout& layout);

  SlotPool<RemoteRegion> regions_;
  BlockPacker packer_;
  std::vector<std::byte> list_;      // Scratch.
  std::vector<std::uint64_t> used_;  // Scratch: of a list, by index.
};

}  // namespace sluice
