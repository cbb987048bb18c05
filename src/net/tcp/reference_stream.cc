#include "src/net/tcp/reference_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace sluice {
namespace {

// What an unprivileged process may ask for (/proc/sys/fs/pipe-max-size): 256 pages.
constexpr int kPipeBytes = 1 << 20;

}  // namespace

Result<std::unique_ptr<ChunkStream>> ReferenceStream::create(Fd socket, const WakeSet& wake) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Status::from_errno(errno, "pipe");
  Fd out(pipe[0]);
  Fd in(pipe[1]);
  // A smaller pipe, where the user has many, costs system calls and nothing else.
  (void)::fcntl(in.get(), F_SETPIPE_SZ, kPipeBytes);
  return std::unique_ptr<ChunkStream>(
      new ReferenceStream(std::move(socket), std::move(in), std::move(out), wake));
}

ReferenceStream::~ReferenceStream() { watch(false); }

void ReferenceStream::shut_down() { ::shutdown(fd(), SHUT_WR); }

Move ReferenceStream::move(Chunk& chunk, Wait wait) {
  const bool begun = header_bytes_ > 0;  // Without waiting, as a copy.
  if (wait == Wait::kNo || begun || chunk.bytes < kLeastBytes || chunk.at == nullptr) {
    return SendStream::move(chunk, wait);
  }

  chunk.take_remainder(chunk.bytes);
  // The pages must be kept from the first byte on, also if the rest fails.
  chunk.reference = ++references_;
  if (send_header(chunk) == Move::kFailed) return Move::kFailed;
  while (chunk.moved < chunk.bytes) {
    const iovec part{chunk.at + chunk.moved, chunk.bytes - chunk.moved};
    const ssize_t piped = ::vmsplice(pipe_in_.get(), &part, 1, 0);
    if (piped < 0) {
      if (errno == EINTR) continue;
      return fail(Status::from_errno(errno, fmt::format("vmsplice of chunk {}", number_)));
    }
    if (splice_on(chunk, static_cast<std::size_t>(piped)) == Move::kFailed) return Move::kFailed;
  }
  ++number_;
  return Move::kAll;
}

Move ReferenceStream::send_header(const Chunk& chunk) {
  encode_header(chunk, kAcknowledge);
  std::size_t sent = 0;
  while (sent < kHeaderBytes) {
    const ssize_t more =
        ::send(fd(), header_.data() + sent, kHeaderBytes - sent, MSG_NOSIGNAL | MSG_MORE);
    if (more >= 0) {
      sent += static_cast<std::size_t>(more);
    } else if (errno != EINTR) {
      return fail(Status::from_errno(errno, fmt::format("send of chunk {}'s header", number_)));
    }
  }
  return Move::kAll;
}

// A shut-down socket raises SIGPIPE here; helper threads block all signals.
Move ReferenceStream::splice_on(Chunk& chunk, std::size_t piped) {
  while (piped > 0) {
    const bool last = chunk.moved + piped == chunk.bytes;
    const ssize_t moved = ::splice(pipe_out_.get(), nullptr, fd(), nullptr, piped,
                                   SPLICE_F_MOVE | (last ? 0u : unsigned{SPLICE_F_MORE}));
    if (moved > 0) {
      piped -= static_cast<std::size_t>(moved);
      chunk.moved += static_cast<std::uint64_t>(moved);
    } else if (moved == 0 || errno != EINTR) {
      return fail(Status::from_errno(moved == 0 ? EPIPE : errno,
                                     fmt::format("splice of chunk {}, {} of {} bytes sent", number_,
                                                 chunk.moved, chunk.bytes)));
    }
  }
  return Move::kAll;
}

Release ReferenceStream::release(const Chunk& chunk) {
  if (chunk.reference > acknowledged_ && !lost_) read_acknowledgements();
  const bool released = chunk.reference <= acknowledged_;
  watch(!released && !lost_);
  if (released) return Release::kReleased;
  return lost_ ? Release::kFailed : Release::kNotYet;
}

void ReferenceStream::read_acknowledgements() {
  std::array<std::byte, 64> counts{};
  for (;;) {
    const ssize_t received = ::recv(fd(), counts.data(), counts.size(), MSG_DONTWAIT);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) {
      lost_ = true;
      return;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
      acknowledged_ += std::to_integer<std::uint8_t>(counts[i]);
    }
  }
}

void ReferenceStream::watch(bool on) {
  if (on == watched_) return;
  watched_ = on;
  if (on) {
    wake_.add(fd(), WakeSet::For::kReading);
  } else {
    wake_.remove(fd());
  }
}

}  // namespace sluice
