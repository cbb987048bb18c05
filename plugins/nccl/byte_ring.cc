#include "plugins/nccl/byte_ring.h"

#include "src/base/check.h"

namespace sluice::nccl_plugin {

std::byte* ByteRing::take(std::uint64_t bytes) {
  const std::uint64_t size = memory_.size();
  if (bytes > size || taken_ - freed_ == kMostPieces) return nullptr;
  if (taken_ == freed_) begin_ = end_ = 0;  // What was used last is in the cache.
  const std::uint64_t length = (bytes + kPage - 1) / kPage * kPage;
  const std::uint64_t at = end_ % size;
  // Pieces do not wrap: the rest of a turn that is too short is left out.
  const std::uint64_t start = at + length <= size ? end_ : end_ + size - at;
  if (start + length - begin_ > size) return nullptr;
  end_ = start + length;
  ends_[taken_++ % kMostPieces] = end_;
  return memory_.data() + start % size;
}

void ByteRing::free_oldest() {
  SLUICE_CHECK(freed_ < taken_, "piece {} was never taken", freed_);
  begin_ = ends_[freed_++ % kMostPieces];
}

}  // namespace sluice::nccl_plugin
