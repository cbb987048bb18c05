// The bytes of a data socket after its hello: chunks in order, each behind a header. Nothing here
// knows of threads; whoever calls move() has the socket and the stream for itself.
//
//   chunk := { u32 length, u32 number, u32 flags, 52 bytes 0 } little-endian, then `length` bytes
//
// `number` counts the chunks of the connection from 0 and wraps: a stream that lost its place is
// noticed. The receiver needs the length because it may have posted more room than is sent. Flag 1
// asks it to say when it has the chunk: it sends single bytes back, each the number of such chunks
// that it has received in full since the last one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "sluice/status.h"
#include "src/base/fd.h"
#include "src/base/sliding_window.h"
#include "src/net/net.h"

namespace sluice {

inline constexpr std::uint64_t kLargestTcpChunk = std::uint64_t{1} << 30;
// Pieces of one chunk: with both headers they fit one system call (IOV_MAX is 1024).
inline constexpr std::size_t kMostTcpPieces = 512;

struct Chunk {
  std::byte* at = nullptr;
  std::uint64_t bytes = 0;  // To send, or room for.
  std::uint64_t moved = 0;  // Of its payload, so far.
  // 0, or which of the connection's chunks it is that were sent by reference, from 1 on.
  std::uint64_t reference = 0;
  // Where it lies, if `at` is nullptr: what is left of it. The first of them has moved in part.
  std::span<const ChunkPiece> pieces = {};
  std::uint64_t piece_moved = 0;

  // Of its bytes where they lie: before the first is sent, when the last is received.
  bool wants_remainder = false;
  bool has_remainder = false;
  std::uint32_t remainder = 0;
  std::span<const ChunkPiece> whole = {};  // As `pieces` was when nothing had moved.

  // Of its first `length` bytes, once, if it is wanted.
  void take_remainder(std::uint64_t length);
};

enum class Move : std::uint8_t {
  kAll,     // The chunk is through.
  kNotYet,  // The socket would block. Call again with the same chunk.
  kFailed,  // failure() says why; the stream is dead.
};

class ChunkStream {
 public:
  static constexpr std::size_t kHeaderBytes = 64;
  static constexpr std::uint32_t kAcknowledge = 1;  // Of a header's flags.

  explicit ChunkStream(Fd socket) : socket_(std::move(socket)) {}
  virtual ~ChunkStream() = default;
  ChunkStream(const ChunkStream&) = delete;
  ChunkStream& operator=(const ChunkStream&) = delete;

  enum class Wait : std::uint8_t { kNo, kYes };
  // Moves the next chunk, or what is left of it. With Wait::kYes it blocks and never says kNotYet.
  virtual Move move(Chunk& chunk, Wait wait) = 0;

  // After a move() that ended a chunk when no other waits to be moved: tells the peer what it has
  // asked to hear.
  virtual void settle() {}

  // Engine thread, whoever owns the stream: whether the memory of a chunk that is through, or has
  // failed, may be used again. kFailed: nobody will ever tell.
  virtual Release release(const Chunk&) { return Release::kReleased; }

  // Makes a move() that blocks in another thread return, and all later ones fail. Thread-safe.
  virtual void shut_down();

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const Status& failure() const { return failure_; }

 protected:
  Move fail(Status failure) {
    failure_ = std::move(failure);
    return Move::kFailed;
  }

  Fd socket_;
  std::array<std::byte, kHeaderBytes> header_{};
  std::size_t header_bytes_ = 0;  // Of header_, sent or received.
  std::uint32_t number_ = 0;      // Of the chunk that is next or under way.

 private:
  Status failure_;
};

class SendStream : public ChunkStream {
 public:
  using ChunkStream::ChunkStream;
  // Done when the kernel has copied the chunk.
  Move move(Chunk& chunk, Wait wait) override;

 protected:
  void encode_header(const Chunk& chunk, std::uint32_t flags);
};

class RecvStream final : public ChunkStream {
 public:
  using ChunkStream::ChunkStream;
  // Done when the chunk is in place. Also receives the next header if it came along, which spares
  // a steady stream a system call per chunk.
  Move move(Chunk& chunk, Wait wait) override;
  void settle() override;

 private:
  Move end_of_stream(const Chunk& chunk);
  // Checks the header that has arrived in full against the chunk that it met.
  Move check_header(const Chunk& chunk);
  Move finish_chunk();

  std::uint64_t length_ = 0;  // Of the chunk under way, once checked_.
  bool checked_ = false;      // header_ is complete and was found good.
  bool wanted_ = false;       // The chunk under way is to be acknowledged.
  std::uint32_t owed_ = 0;    // Chunks received, to be acknowledged and not yet so.
  std::array<std::byte, kHeaderBytes> next_header_{};
  std::size_t next_header_bytes_ = 0;
};

}  // namespace sluice
