// The chunks posted on one data socket, and the helper thread that moves them: one blocking thread
// per socket is the fastest way to drive TCP. The engine thread and the helper share a fixed ring
// and three positions in it; no lock, no allocation, and a system call of the engine thread only
// to wake a helper that sleeps.
//
//   reported_ <= finished_ <= handed_ <= posted_        (positions, all rising for ever)
//                    \________/   \________/
//                    the helper's  the engine thread's
//
// Who owns the stream (and so may read or write the socket) follows from that: the helper while
// finished_ < handed_, otherwise the engine thread. handed_ is released by the engine thread and
// acquired by the helper, finished_ the other way round, so the stream's own state needs no
// atomics. An idle pump costs nothing to use from the engine thread: a small chunk then needs no
// thread switch at all (move_inline()).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "sluice/status.h"
#include "src/base/clock.h"
#include "src/net/net.h"
#include "src/net/tcp/chunk_stream.h"
#include "src/net/tcp/doorbell.h"
#include "src/net/tcp/socket_state.h"

namespace sluice {

struct PumpOptions {
  std::uint32_t window = 16;  // Chunks posted and not reported, at most kMostInFlight.
  std::uint32_t spin_us = 0;  // How long a helper without work yields before it sleeps.
  std::string name;           // Of the channel, for the log: "send 3 to 10.0.0.2:4000".
  std::string thread_name;    // At most 15 characters.
};

class ChunkPump {
 public:
  static constexpr std::uint32_t kMostInFlight = 64;

  // Starts the helper, with all signals blocked and the affinity of the calling thread. The
  // doorbell outlives the pump.
  static Result<std::unique_ptr<ChunkPump>> create(std::unique_ptr<ChunkStream> stream,
                                                   Doorbell& doorbell, PumpOptions options);
  // Gives up what is posted, and waits for the helper, which then does nothing that blocks.
  ~ChunkPump();
  ChunkPump(const ChunkPump&) = delete;
  ChunkPump& operator=(const ChunkPump&) = delete;

  // Everything below: engine thread.

  // Takes a place in the window. The chunk moves after hand_over(), or by move_inline().
  PostAnswer post(std::byte* at, std::uint64_t bytes);
  PostAnswer post(std::span<const ChunkPiece> pieces, std::uint64_t bytes);
  // Gives all that is posted to the helper.
  void hand_over();
  // While the helper has nothing: moves the oldest chunk that was not handed over as far as the
  // socket takes it without blocking. True: it is through.
  bool move_inline();

  // About the oldest posted chunk. Done fills `bytes`.
  TestAnswer test_oldest(std::uint64_t& bytes);
  // Of the chunks posted from now on, and of the one that was Done last.
  void take_remainders(bool on) { takes_remainders_ = on; }
  [[nodiscard]] std::uint32_t remainder() const { return remainder_; }
  void abort();
  [[nodiscard]] Status failure() const;
  [[nodiscard]] std::string diagnosis() const { return describe_socket(stream_->fd()); }

  [[nodiscard]] std::uint64_t in_flight() const { return posted_ - reported(); }
  [[nodiscard]] bool helper_idle() const {
    return finished_.load(std::memory_order_seq_cst) == handed_.load(std::memory_order_relaxed);
  }

 private:
  ChunkPump(std::unique_ptr<ChunkStream> stream, Doorbell& doorbell, PumpOptions options);
  Status start();

  // Engine thread.
  [[nodiscard]] std::uint64_t reported() const { return reported_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool ending() const { return ending_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool held_too_long();
  void end();
  PostAnswer post(Chunk chunk);
  void wake_helper();

  // Helper.
  void run();
  bool wait_for_work();
  bool spin_for_work();
  [[nodiscard]] bool has_work() const;
  void finish(std::uint64_t finished);

  Chunk& at(std::uint64_t position) { return ring_[position % kMostInFlight]; }

  const std::unique_ptr<ChunkStream> stream_;
  Doorbell& doorbell_;
  const PumpOptions options_;
  std::array<Chunk, kMostInFlight> ring_{};

  // Apart, so that the two threads do not fight for a cache line. Written by the engine thread:
  alignas(64) std::atomic<std::uint64_t> handed_{0};
  std::atomic<std::uint64_t> reported_{0};
  std::uint64_t posted_ = 0;
  Status own_failure_;          // Found by the engine thread.
  Nanoseconds held_until_ = 0;  // See held_too_long().
  bool aborted_ = false;
  bool takes_remainders_ = false;
  std::uint32_t remainder_ = 0;
  std::atomic<bool> ending_{false};
  // Written by the helper, and by the engine thread while it owns the stream:
  alignas(64) std::atomic<std::uint64_t> finished_{0};
  // The helper has let go of everything, for good.
  std::atomic<bool> ended_{false};
  Nanoseconds last_ring_ = 0;
  // 1 while the helper sleeps or is about to.
  alignas(64) std::atomic<std::uint32_t> asleep_{0};

  std::thread thread_;
};

}  // namespace sluice
