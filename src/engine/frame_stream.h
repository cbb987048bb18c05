// Frames on a control connection: a ByteStream with a buffer each way. Nothing is allocated after
// construction. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "src/base/check.h"
#include "src/base/clock.h"
#include "src/engine/wire.h"
#include "src/net/control.h"
#include "src/observe/recorder.h"

namespace sluice {

class FrameStream {
 public:
  struct Frame {
    wire::FrameType type{};
    std::span<const std::byte> body;  // Valid until the next fill().
  };
  enum class Next : std::uint8_t { kFrame, kNone, kBad, kCorrupted };

  // `largest_body`: what either end may send. `clock` must outlive this.
  FrameStream(std::unique_ptr<ByteStream> stream, std::size_t largest_body, const Clock& clock);

  // From now on tells `recorder`, which outlives this, of every frame, as of `peer`.
  void record(Recorder& recorder, std::uint64_t peer) {
    recorder_ = &recorder;
    peer_ = static_cast<std::uint32_t>(peer);
  }

  // From now on every frame, both ways, has the CRC32C of its header and body behind it, and in its
  // header part of that of length and type.
  void check_frames() { trailer_bytes_ = kChecksumBytes; }

  // Reads what has come. kSome: call next() until kNone. Bytes that came before the end are handed
  // out by next() even when the answer is kEnd or kFailed.
  IoAnswer fill();
  // kBad: a header that no version of the protocol allows, or a body over the largest. kCorrupted:
  // not what its checksum says.
  Next next(Frame& frame);

  // There is always room for one Farewell more, the last frame.
  [[nodiscard]] bool room_for(std::size_t body_bytes) const {
    return wire::kHeaderBytes + body_bytes + trailer_bytes_ + kLastFrame <=
           out_bytes() - (out_end_ - out_begin_);
  }
  // Reads what has come and forgets it, until there is no more: kNotYet, kEnd or kFailed.
  IoAnswer discard();

  // Queues one frame, whose body must fit room_for() and is encoded in place; flush() sends it.
  template <typename Body>
  void queue(wire::FrameType type, const Body& body) {
    const std::span<std::byte> space = tail();
    ByteWriter writer(space.subspan(wire::kHeaderBytes));
    body.encode(writer);
    SLUICE_CHECK(writer.ok(), "frame type {} over {}", static_cast<int>(type), space.size());
    finish_frame(space, type, writer.written());
  }
  void queue_empty(wire::FrameType type) { finish_frame(tail(), type, 0); }

  // Sends what is queued: kSome when all is out, kNotYet when some is left.
  IoAnswer flush();
  [[nodiscard]] bool flushed() const { return out_begin_ == out_end_; }

  [[nodiscard]] ByteStream& stream() { return *stream_; }
  [[nodiscard]] const ByteStream& stream() const { return *stream_; }
  [[nodiscard]] Nanoseconds last_received() const { return last_received_; }
  [[nodiscard]] Nanoseconds last_sent() const { return last_sent_; }

 private:
  static constexpr std::size_t kChecksumBytes = 4;
  static constexpr std::size_t kLastFrame =
      wire::kHeaderBytes + wire::kLongestFarewell + kChecksumBytes;

  [[nodiscard]] std::size_t out_bytes() const { return capacity_ + kLastFrame; }
  std::span<std::byte> tail();
  void note(EventKind kind, wire::FrameType type, std::uint32_t number);
  void finish_frame(std::span<std::byte> space, wire::FrameType type, std::size_t body_bytes);

  std::unique_ptr<ByteStream> stream_;
  const Clock& clock_;
  std::size_t largest_body_;
  std::size_t trailer_bytes_ = 0;
  // Of capacity_ and out_bytes() bytes; not cleared, so that an idle connection does not touch
  // their pages.
  std::size_t capacity_;
  std::unique_ptr<std::byte[]> in_;   // [in_begin_, in_end_) is read and not handed out.
  std::unique_ptr<std::byte[]> out_;  // [out_begin_, out_end_) is queued and not sent.
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::size_t out_begin_ = 0;
  std::size_t out_end_ = 0;
  Nanoseconds last_received_;
  Nanoseconds last_sent_;
  Recorder* recorder_ = nullptr;
  std::uint32_t peer_ = 0;
  // Frames so far: both ends count the same.
  std::uint32_t frames_in_ = 0;
  std::uint32_t frames_out_ = 0;
};

}  // namespace sluice
