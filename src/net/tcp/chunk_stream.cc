#include "src/net/tcp/chunk_stream.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "src/base/bytes.h"
#include "src/base/crc32c.h"

namespace sluice {
namespace {

// A long stream is acknowledged every so many chunks: a quarter of the usual window, and half of
// what staging of GPU memory holds, so that a sender is told before it has nothing left to send.
constexpr std::uint32_t kMostOwed = 4;

// How many bytes of `moved` belong to a part of `room` bytes, taken off `moved`.
std::size_t take(std::size_t& moved, std::size_t room) {
  const std::size_t part = moved < room ? moved : room;
  moved -= part;
  return part;
}

// The parts of one system call: a chunk's memory between the headers.
struct Parts {
  static constexpr std::size_t kMost = kMostTcpPieces + 2;
  std::array<iovec, kMost> list;
  std::size_t count = 0;

  void add(void* at, std::size_t bytes) { list[count++] = {at, bytes}; }
  // What is left of the chunk, up to `most` bytes.
  void add_rest(const Chunk& chunk, std::uint64_t most) {
    if (chunk.pieces.empty()) return add(chunk.at + chunk.moved, most);
    std::uint64_t skip = chunk.piece_moved;
    for (const ChunkPiece& piece : chunk.pieces) {
      const std::uint64_t bytes = std::min(piece.bytes - skip, most);
      add(piece.at + skip, bytes);
      most -= bytes;
      skip = 0;
      if (most == 0) return;
    }
  }
  [[nodiscard]] msghdr message() {
    msghdr message{};
    message.msg_iov = list.data();
    message.msg_iovlen = count;
    return message;
  }
};

// So many more bytes of the chunk have moved.
void move_on(Chunk& chunk, std::uint64_t bytes) {
  chunk.moved += bytes;
  if (chunk.pieces.empty()) return;
  chunk.piece_moved += bytes;
  std::size_t through = 0;
  while (through < chunk.pieces.size() && chunk.piece_moved >= chunk.pieces[through].bytes) {
    chunk.piece_moved -= chunk.pieces[through++].bytes;
  }
  chunk.pieces = chunk.pieces.subspan(through);
}

}  // namespace

void Chunk::take_remainder(std::uint64_t length) {
  if (!wants_remainder || has_remainder) return;
  has_remainder = true;
  if (whole.empty()) {
    remainder = crc32c_remainder({at, length});
    return;
  }
  for (const ChunkPiece& piece : whole) {
    const std::uint64_t part = std::min(piece.bytes, length);
    remainder = crc32c_remainder({piece.at, part}, remainder);
    length -= part;
  }
}

void ChunkStream::shut_down() { ::shutdown(socket_.get(), SHUT_RDWR); }

void SendStream::encode_header(const Chunk& chunk, std::uint32_t flags) {
  ByteWriter writer(header_);
  writer.u32(static_cast<std::uint32_t>(chunk.bytes));
  writer.u32(number_);
  writer.u32(flags);
}

Move SendStream::move(Chunk& chunk, Wait wait) {
  if (header_bytes_ == 0) {
    chunk.take_remainder(chunk.bytes);
    encode_header(chunk, 0);
  }
  const int flags = MSG_NOSIGNAL | (wait == Wait::kYes ? 0 : MSG_DONTWAIT);
  for (;;) {
    Parts parts;
    parts.add(header_.data() + header_bytes_, kHeaderBytes - header_bytes_);
    parts.add_rest(chunk, chunk.bytes - chunk.moved);
    const msghdr message = parts.message();
    const ssize_t sent = ::sendmsg(fd(), &message, flags);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return Move::kNotYet;
      return fail(Status::from_errno(errno, fmt::format("send of chunk {}, {} of {} bytes sent",
                                                        number_, chunk.moved, chunk.bytes)));
    }
    auto moved = static_cast<std::size_t>(sent);
    header_bytes_ += take(moved, parts.list[0].iov_len);
    move_on(chunk, moved);
    if (header_bytes_ == kHeaderBytes && chunk.moved == chunk.bytes) {
      header_bytes_ = 0;
      ++number_;
      return Move::kAll;
    }
  }
}

Move RecvStream::move(Chunk& chunk, Wait wait) {
  // What is owed is told before blocking: the peer's next chunk may wait for it.
  bool may_block = wait == Wait::kYes && owed_ == 0;
  for (;;) {
    if (header_bytes_ == kHeaderBytes && !checked_) {
      if (check_header(chunk) == Move::kFailed) return Move::kFailed;
    }
    if (checked_ && chunk.moved == length_) {
      chunk.take_remainder(length_);
      return finish_chunk();
    }

    Parts parts;
    if (checked_) {
      parts.add_rest(chunk, length_ - chunk.moved);
      parts.add(next_header_.data(), kHeaderBytes);
    } else {
      parts.add(header_.data() + header_bytes_, kHeaderBytes - header_bytes_);
    }
    msghdr message = parts.message();
    const ssize_t received = ::recvmsg(fd(), &message, may_block ? 0 : MSG_DONTWAIT);
    if (received == 0) return end_of_stream(chunk);
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        settle();
        if (wait == Wait::kNo) return Move::kNotYet;
        may_block = true;
        continue;
      }
      return fail(Status::from_errno(
          errno, fmt::format("receive of chunk {}, {} bytes of it arrived", number_, chunk.moved)));
    }
    auto moved = static_cast<std::size_t>(received);
    if (checked_) {
      move_on(chunk, take(moved, length_ - chunk.moved));
      next_header_bytes_ = moved;
    } else {
      header_bytes_ += moved;
    }
  }
}

Move RecvStream::check_header(const Chunk& chunk) {
  ByteReader reader(header_);
  length_ = reader.u32();
  const std::uint32_t number = reader.u32();
  wanted_ = (reader.u32() & kAcknowledge) != 0;
  if (number != number_ || length_ > kLargestTcpChunk) {
    return fail(Status(
        StatusCode::kProtocol,
        fmt::format("chunk {} begins with number {} and length {}", number_, number, length_)));
  }
  if (length_ > chunk.bytes) {
    return fail(Status(StatusCode::kTooLong,
                       fmt::format("chunk {} has {} bytes, the receive that it met has room for {}",
                                   number_, length_, chunk.bytes)));
  }
  checked_ = true;
  return Move::kAll;
}

Move RecvStream::finish_chunk() {
  header_ = next_header_;
  header_bytes_ = next_header_bytes_;
  next_header_bytes_ = 0;
  checked_ = false;
  ++number_;
  if (wanted_ && ++owed_ >= kMostOwed) settle();
  return Move::kAll;
}

// A byte that does not fit, because the peer reads none, is tried again with the next chunk.
void RecvStream::settle() {
  if (owed_ == 0) return;
  const auto count = static_cast<std::uint8_t>(std::min(owed_, 255u));
  if (::send(fd(), &count, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) owed_ -= count;
}

Move RecvStream::end_of_stream(const Chunk& chunk) {
  if (!checked_ && header_bytes_ == 0) {
    return fail(Status(StatusCode::kPeerLost,
                       fmt::format("the peer closed the connection before chunk {}", number_)));
  }
  return fail(
      Status(StatusCode::kPeerLost,
             fmt::format("the peer closed the connection in the middle of chunk {}: {} of {} bytes "
                         "arrived",
                         number_, chunk.moved, checked_ ? length_ : 0)));
}

}  // namespace sluice
