#include "src/engine/block_list.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "src/base/check.h"

namespace sluice {
namespace {

// A segment is one of these; all numbers are little-endian.
//   kStride   kind u8, region u16, count u32, length u64, base u64, stride u64
//   kIndices  kind u8, region u16, count u32, length u64, base u64, unit u64, count x index u32
//   kList     kind u8, count u32, count x {region u16, offset u64, length u32}
enum : std::uint8_t { kStride = 1, kIndices = 2, kList = 3 };
constexpr std::size_t kGroupBytes = 1 + 2 + 4 + 8 + 8 + 8;
constexpr std::size_t kListBytes = 1 + 4;
constexpr std::size_t kEntryBytes = 2 + 8 + 4;
constexpr std::size_t kListCount = 1;  // Where a list's count stands.

// Fewer blocks than this are not worth the header of a group.
constexpr std::size_t kLeastGroup = 3;

template <typename T>
T load(const std::byte* from) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(static_cast<T>(from[i]) << (8 * i)));
  }
  return value;
}

}  // namespace

void BlockPacker::put(const std::byte* bytes, std::size_t count) {
  out_->insert(out_->end(), bytes, bytes + count);
}

void BlockPacker::begin(std::vector<std::byte>& out) {
  out_ = &out;
  bytes_ = 0;
  offsets_.clear();
  list_open_ = false;
}

void BlockPacker::add(const Block& block) {
  if (block.length == 0) return;
  bytes_ += block.length;
  const bool same = !offsets_.empty() && block.region == region_ && block.length == length_ &&
                    offsets_.size() < UINT32_MAX;
  if (!same) {
    emit_group();
    region_ = block.region;
    length_ = block.length;
    strided_ = true;
  } else if (offsets_.size() == 1) {
    strided_ = block.offset > offsets_.front();
  } else {
    strided_ = strided_ && block.offset > offsets_.back() &&
               block.offset - offsets_.back() == offsets_[1] - offsets_[0];
  }
  offsets_.push_back(block.offset);
}

void BlockPacker::finish() { emit_group(); }

void BlockPacker::emit_group() {
  if (offsets_.empty()) return;
  const std::uint64_t first = offsets_.front();
  const auto count = static_cast<std::uint32_t>(offsets_.size());
  const std::uint64_t stride = count > 1 && strided_ ? offsets_[1] - first : 0;
  if (strided_ && (count == 1 || stride == length_)) {  // One block, or what amounts to one.
    length_ *= count;
    offsets_.resize(1);
    emit_listed();
  } else if (strided_ && count >= kLeastGroup) {
    emit_stride(first, length_, stride, count);
  } else {
    emit_listed();
  }
  offsets_.clear();
}

void BlockPacker::emit_stride(std::uint64_t offset, std::uint64_t length, std::uint64_t stride,
                              std::uint32_t count) {
  std::byte segment[kGroupBytes];
  ByteWriter writer(segment);
  writer.u8(kStride);
  writer.u16(static_cast<std::uint16_t>(region_));
  writer.u32(count);
  writer.u64(length);
  writer.u64(offset);
  writer.u64(stride);
  put(segment, sizeof(segment));
  list_open_ = false;
}

void BlockPacker::emit_listed() {
  if (offsets_.size() < kLeastGroup) {
    for (const std::uint64_t offset : offsets_) append_to_list(offset);
    return;
  }
  const auto [lowest, highest] = std::minmax_element(offsets_.begin(), offsets_.end());
  const std::uint64_t base = *lowest;
  std::uint64_t unit = length_;
  for (const std::uint64_t offset : offsets_) {
    if ((offset - base) % unit != 0) unit = std::gcd(unit, offset - base);
  }
  if ((*highest - base) / unit > UINT32_MAX) {
    for (const std::uint64_t offset : offsets_) append_to_list(offset);
    return;
  }
  std::byte header[kGroupBytes];
  ByteWriter writer(header);
  writer.u8(kIndices);
  writer.u16(static_cast<std::uint16_t>(region_));
  writer.u32(static_cast<std::uint32_t>(offsets_.size()));
  writer.u64(length_);
  writer.u64(base);
  writer.u64(unit);
  put(header, sizeof(header));
  const std::size_t at = out_->size();
  out_->resize(at + offsets_.size() * 4);
  std::byte* to = out_->data() + at;
  for (const std::uint64_t offset : offsets_) {
    const auto index = static_cast<std::uint32_t>((offset - base) / unit);
    for (int i = 0; i < 4; ++i) *to++ = static_cast<std::byte>(index >> (8 * i) & 0xff);
  }
  list_open_ = false;
}

void BlockPacker::append_to_list(std::uint64_t offset) {
  if (length_ > UINT32_MAX) return emit_stride(offset, length_, 0, 1);
  if (!list_open_) {
    list_ = out_->size();
    out_->resize(list_ + kListBytes);
    (*out_)[list_] = std::byte{kList};
    list_open_ = true;
  }
  ByteWriter count({out_->data() + list_ + kListCount, 4});
  count.u32(load<std::uint32_t>(out_->data() + list_ + kListCount) + 1);
  std::byte entry[kEntryBytes];
  ByteWriter writer(entry);
  writer.u16(static_cast<std::uint16_t>(region_));
  writer.u64(offset);
  writer.u32(static_cast<std::uint32_t>(length_));
  put(entry, sizeof(entry));
}

BlockWalk::BlockWalk(std::span<const std::byte> list, BlockCursor from)
    : list_(list), cursor_(from) {
  end_ = from.segment;
  open_segment();
}

bool BlockWalk::open_segment() {
  if (cursor_.segment >= list_.size()) return false;
  const std::byte* const at = list_.data() + cursor_.segment;
  kind_ = load<std::uint8_t>(at);
  if (kind_ == kList) {
    count_ = load<std::uint32_t>(at + 1);
    entries_ = cursor_.segment + kListBytes;
    end_ = static_cast<std::uint32_t>(entries_ + count_ * kEntryBytes);
  } else {
    region_ = load<std::uint16_t>(at + 1);
    count_ = load<std::uint32_t>(at + 3);
    length_ = load<std::uint64_t>(at + 7);
    base_ = load<std::uint64_t>(at + 15);
    unit_ = load<std::uint64_t>(at + 23);
    entries_ = cursor_.segment + kGroupBytes;
    end_ = entries_ + (kind_ == kIndices ? count_ * 4 : 0);
  }
  return true;
}

Block BlockWalk::block() const {
  if (kind_ == kStride) return {region_, base_ + cursor_.index * unit_, length_};
  if (kind_ == kIndices) {
    const auto index = load<std::uint32_t>(list_.data() + entries_ + 4ull * cursor_.index);
    return {region_, base_ + index * unit_, length_};
  }
  const std::byte* const entry = list_.data() + entries_ + kEntryBytes * cursor_.index;
  return {load<std::uint16_t>(entry), load<std::uint64_t>(entry + 2),
          load<std::uint32_t>(entry + 10)};
}

void BlockWalk::end_block() {
  cursor_.within = 0;
  if (++cursor_.index < count_) return;
  cursor_.index = 0;
  cursor_.segment = end_;
  open_segment();
}

bool BlockWalk::next(std::uint64_t most, Block& piece) {
  if (cursor_.segment >= list_.size()) return false;
  piece = block();
  const std::uint64_t left = piece.length - cursor_.within;
  piece.offset += cursor_.within;
  piece.length = std::min(left, most);
  cursor_.within += piece.length;
  if (piece.length == left) end_block();
  return true;
}

void BlockWalk::skip(std::uint64_t bytes) {
  while (bytes > 0 && cursor_.segment < list_.size()) {
    if (kind_ != kList && cursor_.within == 0 && bytes >= length_) {
      const std::uint64_t whole = std::min<std::uint64_t>(bytes / length_, count_ - cursor_.index);
      bytes -= whole * length_;
      cursor_.index += static_cast<std::uint32_t>(whole - 1);
      end_block();
      continue;
    }
    Block passed;
    next(bytes, passed);
    bytes -= passed.length;
  }
}

namespace {

bool add(std::uint64_t& sum, std::uint64_t more) {
  return !__builtin_add_overflow(sum, more, &sum);
}

// A group of `count` blocks, of which `highest` units is the furthest from base.
BlockAnswer check_group(std::uint64_t highest, const Block& first, std::uint32_t count,
                        std::uint64_t unit, std::span<const std::uint64_t> region_bytes,
                        BlockTotals& totals, Block& bad) {
  if (count == 0 || first.length == 0 || first.region >= region_bytes.size()) {
    return BlockAnswer::kMalformed;
  }
  std::uint64_t furthest = 0;
  std::uint64_t all = 0;
  bad = first;
  if (__builtin_mul_overflow(highest, unit, &furthest) || !add(furthest, first.offset) ||
      __builtin_mul_overflow(std::uint64_t{count}, first.length, &all)) {
    return BlockAnswer::kOutside;
  }
  bad.offset = furthest;
  const std::uint64_t room = region_bytes[first.region];
  if (first.length > room || furthest > room - first.length) return BlockAnswer::kOutside;
  totals.blocks += count;
  return add(totals.bytes, all) ? BlockAnswer::kGood : BlockAnswer::kOutside;
}

BlockAnswer check_entries(ByteReader& in, std::span<const std::uint64_t> region_bytes,
                          BlockTotals& totals, Block& bad) {
  const std::uint32_t count = in.u32();
  if (count == 0 || count > in.remaining() / kEntryBytes) return BlockAnswer::kMalformed;
  for (std::uint32_t i = 0; i < count; ++i) {
    Block block;
    block.region = in.u16();
    block.offset = in.u64();
    block.length = in.u32();
    const BlockAnswer answer = check_group(0, block, 1, 0, region_bytes, totals, bad);
    if (answer != BlockAnswer::kGood) return answer;
  }
  return BlockAnswer::kGood;
}

BlockAnswer check_segment(ByteReader& in, std::span<const std::uint64_t> region_bytes,
                          BlockTotals& totals, Block& bad) {
  const std::uint8_t kind = in.u8();
  if (kind == kList) return check_entries(in, region_bytes, totals, bad);
  if (kind != kStride && kind != kIndices) return BlockAnswer::kMalformed;
  Block first;
  first.region = in.u16();
  const std::uint32_t count = in.u32();
  first.length = in.u64();
  first.offset = in.u64();
  const std::uint64_t unit = in.u64();
  std::uint64_t highest = count == 0 ? 0 : count - 1;
  if (kind == kIndices) {
    const auto indices = in.bytes(4ull * count);
    highest = 0;
    for (std::size_t i = 0; i < indices.size(); i += 4) {
      highest = std::max<std::uint64_t>(highest, load<std::uint32_t>(indices.data() + i));
    }
  }
  if (!in.ok()) return BlockAnswer::kMalformed;
  return check_group(highest, first, count, unit, region_bytes, totals, bad);
}

}  // namespace

BlockAnswer check_blocks(std::span<const std::byte> list,
                         std::span<const std::uint64_t> region_bytes, BlockTotals& totals,
                         Block& bad) {
  totals = {};
  if (list.size() > UINT32_MAX) return BlockAnswer::kMalformed;
  ByteReader in(list);
  while (in.remaining() > 0) {
    const BlockAnswer answer = check_segment(in, region_bytes, totals, bad);
    if (answer != BlockAnswer::kGood) return answer;
  }
  return in.finished() ? BlockAnswer::kGood : BlockAnswer::kMalformed;
}

}  // namespace sluice
