// A list of blocks, packed: how one-sided transfers name their memory, in this process and on the
// wire (docs/wire.md). Blocks of one length become a stride (a few bytes for any number of them) or
// a list of indices (4 bytes a block); what fits neither takes 14 bytes a block.
//
// The bytes of a transfer are those of its blocks, one after the other: both ends walk their own
// list over the same range of bytes, and their blocks need not have the same shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/base/bytes.h"

namespace sluice {

// Part of one of a list's regions, which are named by their place in a table beside the list.
struct Block {
  std::uint32_t region = 0;
  std::uint64_t offset = 0;  // bytes
  std::uint64_t length = 0;  // bytes
};

// Packs one list after the other. Nothing is allocated once it, and what it appends to, have had
// their size.
class BlockPacker {
 public:
  // A new list, appended to `out`, which must stay where it is until finish().
  void begin(std::vector<std::byte>& out);
  // A block of length 0 leaves no trace.
  void add(const Block& block);
  void finish();
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }  // Of all blocks together.

 private:
  void emit_group();
  void emit_stride(std::uint64_t offset, std::uint64_t length, std::uint64_t stride,
                   std::uint32_t count);
  void emit_indices(std::uint64_t unit);
  void emit_listed();
  void append_to_list(std::uint64_t offset);
  void put(const std::byte* bytes, std::size_t count);

  std::vector<std::byte>* out_ = nullptr;
  std::uint64_t bytes_ = 0;
  // The group that is being gathered: blocks of one region and one length.
  std::uint32_t region_ = 0;
  std::uint64_t length_ = 0;
  std::vector<std::uint64_t> offsets_;
  bool strided_ = true;   // So far each comes one stride after the one before.
  std::size_t list_ = 0;  // Where in *out_ the list that is open begins.
  bool list_open_ = false;
};

// A place in a packed list.
struct BlockCursor {
  std::uint32_t segment = 0;  // Where it begins, in bytes.
  std::uint32_t index = 0;    // Of a block in the segment.
  std::uint64_t within = 0;   // The block, in bytes.
};

// Goes over a packed list that check_blocks() has accepted or BlockPacker has made.
class BlockWalk {
 public:
  explicit BlockWalk(std::span<const std::byte> list, BlockCursor from = {});

  // The next piece, of at most `most` bytes (1 or more); false at the end. What continues where
  // the piece before ended is a piece of its own all the same.
  bool next(std::uint64_t most, Block& piece);
  // Passes over as many bytes. Costs little for blocks of one length.
  void skip(std::uint64_t bytes);
  [[nodiscard]] BlockCursor cursor() const { return cursor_; }

 private:
  bool open_segment();
  void end_block();
  [[nodiscard]] Block block() const;

  std::span<const std::byte> list_;
  BlockCursor cursor_;
  // Of the segment that the cursor is in.
  std::uint8_t kind_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t region_ = 0;
  std::uint64_t length_ = 0;
  std::uint64_t base_ = 0;
  std::uint64_t unit_ = 0;
  std::uint32_t entries_ = 0;  // Where they begin in the list.
  std::uint32_t end_ = 0;      // Where the segment ends.
};

struct BlockTotals {
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;
};

enum class BlockAnswer : std::uint8_t {
  kGood,
  kMalformed,  // Not a packed list, or it names a region that is not in the table.
  kOutside,    // A block lies outside of its region; `bad` says which.
};

// Checks a list that may come from anybody against the lengths of the regions it may name.
[[nodiscard]] BlockAnswer check_blocks(std::span<const std::byte> list,
                                       std::span<const std::uint64_t> region_bytes,
                                       BlockTotals& totals, Block& bad);

}  // namespace sluice
