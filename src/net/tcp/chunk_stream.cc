#include "src/net/tcp/chunk_stream.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "src/base/bytes.h"

namespace sluice {
namespace {

// A long stream is acknowledged every so many chunks: half of the usual window.
constexpr std::uint32_t kMostOwed = 8;

// How many bytes of `moved` belong to a part of `room` bytes, taken off `moved`.
std::size_t take(std::size_t& moved, std::size_t room) {
  const std::size_t part = moved < room ? moved : room;
  moved -= part;
  return part;
}

}  // namespace

void ChunkStream::shut_down() { ::shutdown(socket_.get(), SHUT_RDWR); }

void SendStream::encode_header(const Chunk& chunk, std::uint32_t flags) {
  ByteWriter writer(header_);
  writer.u32(static_cast<std::uint32_t>(chunk.bytes));
  writer.u32(number_);
  writer.u32(flags);
}

Move SendStream::move(Chunk& chunk, Wait wait) {
  if (header_bytes_ == 0) encode_header(chunk, 0);
  const int flags = MSG_NOSIGNAL | (wait == Wait::kYes ? 0 : MSG_DONTWAIT);
  for (;;) {
    iovec parts[2] = {{header_.data() + header_bytes_, kHeaderBytes - header_bytes_},
                      {chunk.at + chunk.moved, chunk.bytes - chunk.moved}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t sent = ::sendmsg(fd(), &message, flags);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return Move::kNotYet;
      return fail(Status::from_errno(errno, fmt::format("send of chunk {}, {} of {} bytes sent",
                                                        number_, chunk.moved, chunk.bytes)));
    }
    auto moved = static_cast<std::size_t>(sent);
    header_bytes_ += take(moved, parts[0].iov_len);
    chunk.moved += moved;
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
    if (checked_ && chunk.moved == length_) return finish_chunk();

    iovec parts[2];
    if (checked_) {
      parts[0] = {chunk.at + chunk.moved, length_ - chunk.moved};
      parts[1] = {next_header_.data(), kHeaderBytes};
    } else {
      parts[0] = {header_.data() + header_bytes_, kHeaderBytes - header_bytes_};
      parts[1] = {nullptr, 0};
    }
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = checked_ ? 2 : 1;
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
      chunk.moved += take(moved, parts[0].iov_len);
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
