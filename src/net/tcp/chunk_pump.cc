#include "src/net/tcp/chunk_pump.h"

#include <sched.h>

#include "src/base/check.h"
#include "src/base/log.h"
#include "src/net/tcp/helper_thread.h"

namespace sluice {
namespace {

// A finished chunk is told, though most others are still to come, when the bell has been silent for
// this long: on a slow network the engine need not wait for most of a window.
constexpr Nanoseconds kLongestSilence = from_ms(5);

// How long a channel that is given up holds memory that the peer may still be reading. A peer that
// lives closes its end sooner.
constexpr Nanoseconds kLongestHold = from_ms(200);

}  // namespace

ChunkPump::ChunkPump(std::unique_ptr<ChunkStream> stream, Doorbell& doorbell, PumpOptions options)
    : stream_(std::move(stream)), doorbell_(doorbell), options_(std::move(options)) {}

Result<std::unique_ptr<ChunkPump>> ChunkPump::create(std::unique_ptr<ChunkStream> stream,
                                                     Doorbell& doorbell, PumpOptions options) {
  SLUICE_CHECK(options.window >= 1 && options.window <= kMostInFlight, "window {}", options.window);
  std::unique_ptr<ChunkPump> pump(new ChunkPump(std::move(stream), doorbell, std::move(options)));
  if (Status status = pump->start(); !status.ok()) return status;
  return pump;
}

Status ChunkPump::start() {
  Result<std::thread> started = start_helper(options_.thread_name, [this] { run(); });
  if (!started.ok()) return started.status();
  thread_ = started.take();
  return {};
}

ChunkPump::~ChunkPump() {
  if (!thread_.joinable()) return;
  end();
  if (in_flight() > 0) stream_->shut_down();
  thread_.join();
}

PostAnswer ChunkPump::post(std::byte* at_byte, std::uint64_t bytes) {
  Chunk chunk;
  chunk.at = at_byte;
  chunk.bytes = bytes;
  return post(chunk);
}

PostAnswer ChunkPump::post(std::span<const ChunkPiece> pieces, std::uint64_t bytes) {
  SLUICE_CHECK(!pieces.empty() && pieces.size() <= kMostTcpPieces, "{}: chunk of {} pieces",
               options_.name, pieces.size());
  Chunk chunk;
  chunk.bytes = bytes;
  chunk.pieces = chunk.whole = pieces;
  return post(chunk);
}

PostAnswer ChunkPump::post(Chunk chunk) {
  SLUICE_CHECK(chunk.bytes <= kLargestTcpChunk, "{}: chunk of {} bytes", options_.name,
               chunk.bytes);
  if (ending() || ended_.load(std::memory_order_acquire)) return PostAnswer::kFailed;
  if (in_flight() >= options_.window) return PostAnswer::kBusy;
  chunk.wants_remainder = takes_remainders_;
  at(posted_) = chunk;
  ++posted_;
  return PostAnswer::kPosted;
}

void ChunkPump::hand_over() {
  if (handed_.load(std::memory_order_relaxed) == posted_ || ending()) return;
  handed_.store(posted_, std::memory_order_seq_cst);
  wake_helper();
}

bool ChunkPump::move_inline() {
  const std::uint64_t next = finished_.load(std::memory_order_seq_cst);
  if (next != handed_.load(std::memory_order_relaxed) || next == posted_ || ending()) return false;
  switch (stream_->move(at(next), ChunkStream::Wait::kNo)) {
    case Move::kAll:
      stream_->settle();
      // finished_ first: the helper must never see a handed_ that is ahead of it.
      finished_.store(next + 1, std::memory_order_seq_cst);
      handed_.store(next + 1, std::memory_order_seq_cst);
      return true;
    case Move::kNotYet:
      return false;
    case Move::kFailed:
      own_failure_ = stream_->failure();
      SLUICE_LOG(kWarning, "tcp", "{}: {}", options_.name, own_failure_.to_string());
      end();
      return false;
  }
  return false;
}

TestAnswer ChunkPump::test_oldest(std::uint64_t& bytes) {
  const std::uint64_t oldest = reported();
  SLUICE_CHECK(oldest < posted_, "{}: nothing is posted", options_.name);
  // ended_ first: what the helper finished before it ended is Done, not Failed.
  const bool ended = ended_.load(std::memory_order_seq_cst);
  const bool done = oldest < finished_.load(std::memory_order_seq_cst);
  if (!done && !ended) return TestAnswer::kPending;
  const Release released = stream_->release(at(oldest));
  if (released == Release::kNotYet && !held_too_long()) return TestAnswer::kPending;
  if (done && released == Release::kFailed && failure().ok()) {
    own_failure_ = {StatusCode::kPeerLost,
                    "the peer closed the connection before it had what was sent"};
    SLUICE_LOG(kWarning, "tcp", "{}: {}", options_.name, own_failure_.to_string());
    end();
  }
  bytes = at(oldest).moved;
  remainder_ = at(oldest).remainder;
  reported_.store(oldest + 1, std::memory_order_relaxed);
  return done && released == Release::kReleased ? TestAnswer::kDone : TestAnswer::kFailed;
}

// Whoever waits for memory of a channel that has ended does not wait for ever.
bool ChunkPump::held_too_long() {
  if (!ending() && !ended_.load(std::memory_order_relaxed)) return false;
  const Nanoseconds now = SystemClock().now();
  if (held_until_ == 0) held_until_ = now + kLongestHold;
  return now >= held_until_;
}

void ChunkPump::abort() {
  if (ending()) return;
  // What has failed by itself keeps its own reason.
  if (!ended_.load(std::memory_order_acquire)) aborted_ = true;
  end();  // First, so that the helper knows whose doing the shut-down is.
  stream_->shut_down();
}

Status ChunkPump::failure() const {
  if (!own_failure_.ok()) return own_failure_;
  if (aborted_) return {StatusCode::kClosed, "the channel was aborted"};
  if (ended_.load(std::memory_order_acquire)) return stream_->failure();
  return {};
}

void ChunkPump::end() {
  ending_.store(true, std::memory_order_seq_cst);
  wake_helper();
}

// The same bargain as the Doorbell's: we write handed_ (or ending_) and read asleep_, the helper
// writes asleep_ and reads handed_ (and ending_).
void ChunkPump::wake_helper() {
  if (asleep_.load(std::memory_order_seq_cst) == 0) return;
  asleep_.store(0, std::memory_order_seq_cst);
  asleep_.notify_one();
}

void ChunkPump::run() {
  while (wait_for_work()) {
    const std::uint64_t next = finished_.load(std::memory_order_relaxed);
    if (stream_->move(at(next), ChunkStream::Wait::kYes) != Move::kAll) {
      if (!ending()) {
        SLUICE_LOG(kWarning, "tcp", "{}: {}", options_.name, stream_->failure().to_string());
      }
      break;
    }
    if (next + 1 == handed_.load(std::memory_order_relaxed)) stream_->settle();
    finish(next + 1);
  }
  ended_.store(true, std::memory_order_seq_cst);
  doorbell_.ring();
}

void ChunkPump::finish(std::uint64_t finished) {
  finished_.store(finished, std::memory_order_seq_cst);
  if (!doorbell_.armed()) return;
  // On a busy machine the engine thread takes its core from a helper, and a helper that moves to
  // another core leaves its data in the old one's cache. So it is woken only when nothing is left
  // to move, when no more than a quarter of what is posted is, or after a silence.
  const std::uint64_t handed = handed_.load(std::memory_order_relaxed);
  const std::uint64_t reported = reported_.load(std::memory_order_relaxed);
  const Nanoseconds now = SystemClock().now();
  if (finished < handed && finished - reported < 3 * (handed - finished) &&
      now - last_ring_ < kLongestSilence) {
    return;
  }
  last_ring_ = now;
  doorbell_.ring();
}

// handed_ first: it only ever rises, and never above a finished_ that was read before it, unless
// there is work.
bool ChunkPump::has_work() const {
  const std::uint64_t handed = handed_.load(std::memory_order_seq_cst);
  return finished_.load(std::memory_order_relaxed) < handed;
}

// False: to end.
bool ChunkPump::wait_for_work() {
  bool may_spin = options_.spin_us > 0 && finished_.load(std::memory_order_relaxed) > 0;
  for (;;) {
    if (ending_.load(std::memory_order_seq_cst)) return false;
    if (has_work()) return true;
    if (may_spin && spin_for_work()) continue;
    may_spin = false;
    asleep_.store(1, std::memory_order_seq_cst);
    if (!has_work() && !ending_.load(std::memory_order_seq_cst)) asleep_.wait(1);
    asleep_.store(0, std::memory_order_relaxed);
  }
}

// sched_yield() leaves the core to whoever wants it; a pause loop would not. True: there is work,
// or an end.
bool ChunkPump::spin_for_work() {
  const SystemClock clock;
  const Nanoseconds until = clock.now() + from_us(options_.spin_us);
  do {
    if (has_work() || ending_.load(std::memory_order_relaxed)) return true;
    ::sched_yield();
  } while (clock.now() < until);
  return false;
}

}  // namespace sluice
