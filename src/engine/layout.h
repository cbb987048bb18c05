// Where the bytes of a one-sided transfer lie at this end, and where those of one chunk do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sluice/status.h"
#include "src/engine/block_list.h"
#include "src/net/net.h"

namespace sluice {

// Lists of blocks of GPU memory that are shorter than this on average are refused: each costs a
// piece of the GPU's work, and a place in a list of pieces.
inline constexpr std::uint64_t kLeastGpuBlock = 64;  // bytes

// A region as the blocks of a layout name it.
struct RegionUse {
  std::uint64_t region = 0;  // RegionId.
  std::byte* base = nullptr;
  std::uint64_t length = 0;     // bytes
  NetMemory* memory = nullptr;  // nullptr: the Net does not take it.
  bool on_host = false;         // The host reaches it.
};

// Kept for its memory when its transfer is over.
struct Layout {
  std::vector<RegionUse> regions;
  std::span<const std::byte> list;  // Packed blocks: in `own_list`, or in the payload of a Request.
  std::vector<std::byte> own_list;
  BlockCursor next;  // Of the next chunk: chunks of a one-sided transfer go in order.

  // At the initiator: what the Request says.
  std::vector<std::byte> payload;
  std::uint64_t remote_generation = 0;  // Of the target that exported them; 0: none is named.
  std::uint16_t remote_regions = 0;
  std::uint32_t remote_list_bytes = 0;
  std::uint32_t notification_bytes = 0;
  bool notifies = false;
  bool remote_on_host = true;

  [[nodiscard]] std::span<const std::byte> remote_list() const;  // In the payload.
  void drop_remote_list();                                       // The target has it already.
  [[nodiscard]] bool on_host() const;                            // All of it.
  [[nodiscard]] bool on_gpu() const;                             // All of it.
  // Whether lists of this kind can be moved; `bytes` is the sum of the `blocks`. kUnavailable.
  [[nodiscard]] Status check_kinds(std::uint64_t blocks, std::uint64_t bytes) const;
  void clear();
};

// The memory of one chunk: in one piece, or the next `bytes` of a layout; or it is to be dropped.
// Who takes the remainder of a chunk, where it lies at this end.
enum class SummedBy : std::uint8_t {
  kNobody,
  kHost,  // Or a Net that can.
  kGpu,
};

struct ChunkPlace {
  std::byte* data = nullptr;  // nullptr: spread over the layout.
  NetMemory* memory = nullptr;
  const Layout* layout = nullptr;
  BlockCursor from;
  std::uint64_t bytes = 0;
  std::uint64_t behind = 0;  // Bytes of its transfer that come after it.
  SummedBy summed_by = SummedBy::kNobody;

  [[nodiscard]] bool spread() const { return data == nullptr && layout != nullptr; }
  [[nodiscard]] bool nowhere() const { return data == nullptr && layout == nullptr; }
};

// The place of the chunk of `bytes` (1 or more) that begins at the layout's next; moves that on.
// One piece if it is one.
ChunkPlace take_chunk(Layout& layout, std::uint64_t bytes);

// The pieces of a chunk that a Net takes as they are, for each place of a channel's window: a list
// stays where it is until its chunk is reported. Allocated the first time.
class PieceLists {
 public:
  // `most` pieces a chunk; 1 or less: the Net takes none.
  PieceLists(std::uint32_t places, std::uint32_t most) : places_(places), most_(most) {}

  // The pieces of a spread place; empty: more than the Net takes.
  std::span<const ChunkPiece> list(const ChunkPlace& place, std::uint32_t window_place);

 private:
  const std::uint32_t places_;
  const std::uint32_t most_;
  std::unique_ptr<ChunkPiece[]> pieces_;
};

// Between a place that is spread over host memory and `bytes` in one piece.
void gather(const ChunkPlace& place, std::byte* to);
// Bytes [offset, offset + part.size()) of the place.
void scatter(const ChunkPlace& place, std::uint64_t offset, std::span<const std::byte> part);

}  // namespace sluice
