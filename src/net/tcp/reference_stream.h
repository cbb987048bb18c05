// Sends long chunks without copying them: the socket's queue refers to their pages (vmsplice into a
// pipe, splice from there into the socket), which spares one of the two copies of a TCP transfer.
//
// On one host the receiver reads those very pages, on the wire the NIC does, so a chunk may be
// reported only when the receiver has it: an empty send queue (SIOCOUTQ) does not say that. The
// receiver therefore acknowledges what was sent this way, on the data socket's other direction.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "src/base/fd.h"
#include "src/net/tcp/chunk_stream.h"
#include "src/net/tcp/wake_set.h"

namespace sluice {

class ReferenceStream final : public SendStream {
 public:
  // Shorter chunks are copied: finding their pages costs more than copying them.
  static constexpr std::uint64_t kLeastBytes = 64 << 10;

  // `socket` is connected to a RecvStream that acknowledges. `wake` outlives the stream: it is told
  // of the socket while an acknowledgement is waited for. kSystem: no pipe.
  static Result<std::unique_ptr<ChunkStream>> create(Fd socket, const WakeSet& wake);
  ~ReferenceStream() override;

  Move move(Chunk& chunk, Wait wait) override;
  Release release(const Chunk& chunk) override;
  // Only the sending direction: acknowledgements are still wanted.
  void shut_down() override;

 private:
  ReferenceStream(Fd socket, Fd pipe_in, Fd pipe_out, const WakeSet& wake)
      : SendStream(std::move(socket)),
        pipe_in_(std::move(pipe_in)),
        pipe_out_(std::move(pipe_out)),
        wake_(wake) {}

  Move send_header(const Chunk& chunk);
  Move splice_on(Chunk& chunk, std::size_t piped);
  void read_acknowledgements();
  void watch(bool on);

  const Fd pipe_in_;
  const Fd pipe_out_;
  std::uint64_t references_ = 0;  // Chunks sent by reference.

  // Engine thread.
  const WakeSet& wake_;
  std::uint64_t acknowledged_ = 0;  // Of references_.
  bool watched_ = false;
  bool lost_ = false;  // Nothing more will be acknowledged.
};

}  // namespace sluice
