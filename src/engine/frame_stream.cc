#include "src/engine/frame_stream.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "src/base/crc32c.h"

namespace sluice {
namespace {

// Room for several frames, so that a burst of small messages costs one system call.
constexpr std::size_t kLeastBuffer = 128 << 10;

// Of the header: its zeros.
constexpr std::size_t kSealBytes = 3;

std::size_t buffer_bytes(std::size_t largest_frame) {
  return std::max(kLeastBuffer, 2 * largest_frame);
}

std::uint32_t checksum_of(std::span<const std::byte> frame) {
  return crc32c_of(crc32c_remainder(frame), frame.size());
}

// What stands where a header has zeros: a length that is wrong would otherwise show only when so
// many bytes have come.
std::array<std::byte, kSealBytes> seal_of(std::span<const std::byte> header) {
  const std::uint32_t sum = checksum_of(header.first(wire::kHeaderBytes - kSealBytes));
  return {static_cast<std::byte>(sum), static_cast<std::byte>(sum >> 8),
          static_cast<std::byte>(sum >> 16)};
}

}  // namespace

FrameStream::FrameStream(std::unique_ptr<ByteStream> stream, std::size_t largest_body,
                         const Clock& clock)
    : stream_(std::move(stream)),
      clock_(clock),
      largest_body_(largest_body),
      capacity_(buffer_bytes(wire::kHeaderBytes + largest_body + kChecksumBytes)),
      in_(std::make_unique_for_overwrite<std::byte[]>(capacity_)),
      out_(std::make_unique_for_overwrite<std::byte[]>(out_bytes())),
      last_received_(clock.now()),
      last_sent_(last_received_) {}

IoAnswer FrameStream::fill() {
  if (in_begin_ == in_end_) {
    in_begin_ = in_end_ = 0;
  } else if (in_begin_ > 0) {
    std::memmove(in_.get(), in_.get() + in_begin_, in_end_ - in_begin_);
    in_end_ -= in_begin_;
    in_begin_ = 0;
  }
  if (in_end_ == capacity_) return IoAnswer::kSome;  // Full: next() hands out a frame.
  const IoResult result = stream_->read({in_.get() + in_end_, capacity_ - in_end_});
  if (result.answer == IoAnswer::kSome) {
    in_end_ += result.bytes;
    last_received_ = clock_.now();
    if (recorder_ != nullptr) recorder_->at(last_received_);
  }
  return result.answer;
}

IoAnswer FrameStream::discard() {
  IoAnswer answer = IoAnswer::kSome;
  while (answer == IoAnswer::kSome) {
    in_begin_ = in_end_ = 0;
    answer = fill();
  }
  return answer;
}

FrameStream::Next FrameStream::next(Frame& frame) {
  const std::size_t available = in_end_ - in_begin_;
  if (available < wire::kHeaderBytes) return Next::kNone;
  const std::span<const std::byte> bytes(in_.get() + in_begin_, available);
  std::array<std::byte, wire::kHeaderBytes> head;
  std::copy_n(bytes.begin(), head.size(), head.begin());
  if (trailer_bytes_ > 0) {
    const auto seal = std::span(head).last<kSealBytes>();
    if (!std::ranges::equal(seal, seal_of(head))) return Next::kCorrupted;
    std::ranges::fill(seal, std::byte{0});
  }
  ByteReader reader(head);
  wire::Header header;
  if (!header.decode(reader) || header.body_bytes > largest_body_) return Next::kBad;
  const std::size_t frame_bytes = wire::kHeaderBytes + header.body_bytes;
  if (available < frame_bytes + trailer_bytes_) return Next::kNone;
  if (trailer_bytes_ > 0) {
    ByteReader trailer(bytes.subspan(frame_bytes, trailer_bytes_));
    if (trailer.u32() != checksum_of(bytes.first(frame_bytes))) return Next::kCorrupted;
  }
  frame.type = header.type;
  frame.body = bytes.subspan(wire::kHeaderBytes, header.body_bytes);
  in_begin_ += frame_bytes + trailer_bytes_;
  note(EventKind::kFrameIn, header.type, frames_in_++);
  return Next::kFrame;
}

std::span<std::byte> FrameStream::tail() {
  if (out_begin_ > 0) {
    std::memmove(out_.get(), out_.get() + out_begin_, out_end_ - out_begin_);
    out_end_ -= out_begin_;
    out_begin_ = 0;
  }
  return {out_.get() + out_end_, out_bytes() - out_end_};
}

void FrameStream::finish_frame(std::span<std::byte> space, wire::FrameType type,
                               std::size_t body_bytes) {
  ByteWriter writer(space.first(std::min(space.size(), wire::kHeaderBytes)));
  wire::Header{static_cast<std::uint32_t>(body_bytes), type}.encode(writer);
  const std::size_t frame_bytes = wire::kHeaderBytes + body_bytes;
  SLUICE_CHECK(writer.ok() && frame_bytes + trailer_bytes_ <= space.size(),
               "no room for frame type {}", static_cast<int>(type));
  if (trailer_bytes_ > 0) {
    std::ranges::copy(seal_of(space), space.begin() + wire::kHeaderBytes - kSealBytes);
    ByteWriter trailer(space.subspan(frame_bytes, trailer_bytes_));
    trailer.u32(checksum_of(space.first(frame_bytes)));
  }
  out_end_ += frame_bytes + trailer_bytes_;
  note(EventKind::kFrameOut, type, frames_out_++);
}

void FrameStream::note(EventKind kind, wire::FrameType type, std::uint32_t number) {
  if (recorder_ == nullptr) return;
  recorder_->add({0, 0, number, 0, peer_, 0, kind, static_cast<std::uint8_t>(type)});
}

IoAnswer FrameStream::flush() {
  while (out_begin_ < out_end_) {
    const IoResult result = stream_->write({out_.get() + out_begin_, out_end_ - out_begin_});
    if (result.answer != IoAnswer::kSome) return result.answer;
    out_begin_ += result.bytes;
    last_sent_ = clock_.now();
  }
  out_begin_ = out_end_ = 0;
  return IoAnswer::kSome;
}

}  // namespace sluice
