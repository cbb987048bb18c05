// One direction of a connection over several sockets (stripes): messages of any size, in order,
// each cut into chunks, every one of which goes over whichever socket has room. One helper thread
// per socket blocks in it, which is the fastest way to drive TCP; a lone small message is moved by
// the data thread itself, without a thread switch.
//
// The sender's helpers take the next chunk from the queue of posted messages as soon as they are
// free, so a slow socket never holds more than one chunk back. The receiver's helpers read a header
// and then, wherever its chunk belongs, the bytes straight into place.
//
// Threads: post(), test() and in_flight() belong to one thread, the data thread. Everything else
// may be called from any. One mutex guards all that is shared; it is taken twice a chunk and never
// held over a system call that moves bytes.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "sluice/status.h"
#include "src/base/fd.h"
#include "src/net/net.h"
#include "src/net/striped/striped_wire.h"
#include "src/net/tcp/chunk_stream.h"

namespace sluice {

struct StripedOptions {
  std::uint32_t spin_us = 100;             // How long a helper without work yields, then sleeps.
  std::uint64_t inline_bytes = 128 << 10;  // Up to so many move without a helper.
  std::string name;                        // For the log: "to 10.0.0.2:4000".
  std::string thread_name;                 // At most 12 characters; the socket's number follows.
};

class StripedChannel {
 public:
  static constexpr std::uint32_t kMostInFlight = 32;  // NCCL_NET_MAX_REQUESTS

  virtual ~StripedChannel() = default;
  StripedChannel(const StripedChannel&) = delete;
  StripedChannel& operator=(const StripedChannel&) = delete;

  // The next message: memory to send, or room for at most `bytes`; a longer message fails the
  // channel. Posted fills `place`, which names the message until test() has said Done. Busy: all
  // places are taken.
  PostAnswer post(std::byte* at, std::uint64_t bytes, std::uint32_t& place);
  // About any posted message. Done fills `bytes` with its size and frees the place: a sent message
  // may be overwritten, a received one is there. Failed: failure() says why, and from then on no
  // message that is not complete already will be.
  TestAnswer test(std::uint32_t place, std::uint64_t& bytes);
  [[nodiscard]] std::uint32_t in_flight() const { return in_flight_; }

  // The memory goes away: if a message under way has part of it, the channel fails. No thread of
  // ours touches the memory once this has returned. Waits for system calls that move bytes to end,
  // having shut their sockets.
  void withdraw(std::span<const std::byte> memory);

  [[nodiscard]] Status failure() const;
  [[nodiscard]] int first_socket() const { return stripes_.front()->socket.get(); }

 protected:
  struct Message {
    std::byte* at = nullptr;
    std::uint64_t bytes = 0;    // To send, or room.
    std::uint64_t total = 0;    // Its size; of a receive once `announced`.
    std::uint64_t claimed = 0;  // In chunks that were begun.
    std::uint64_t moved = 0;    // In chunks that are through.
    std::uint64_t number = 0;
    bool announced = false;
    bool taken = false;  // The place is; data thread.
    std::atomic<bool> finished{true};
  };
  // A socket, and the chunk that is under way on it. The mutex guards the first part always, the
  // second while the stripe is not `taken`: whoever has set that has it to itself.
  struct Stripe {
    Fd socket;
    bool taken = false;
    bool asleep = false;  // Its helper is.
    bool closed = false;  // The sender has ended it, after a whole chunk.
    std::condition_variable wake;
    std::thread helper;

    Message* message = nullptr;  // None: between chunks.
    std::byte* at = nullptr;
    std::uint64_t moved = 0;  // Of chunk.length.
    ChunkHeader chunk;
    std::array<std::byte, kChunkHeaderBytes> header{};
    std::size_t header_moved = 0;
    std::array<std::byte, kChunkHeaderBytes> next_header{};  // Came along with the chunk.
    std::size_t next_header_moved = 0;
    bool at_end = false;  // No more bytes come.
    Status failure;
  };
  using Wait = ChunkStream::Wait;
  using Lock = std::unique_lock<std::mutex>;

  // `sockets` are connected, blocking and past their hello.
  StripedChannel(std::vector<Fd> sockets, StripedOptions options);
  Status start();  // The helpers.
  // Ends and joins the helpers, giving up what is under way. Every derived destructor calls it:
  // helpers use the functions below.
  void stop();

  // With the mutex held. The stripe, which nobody has taken, could move something.
  [[nodiscard]] virtual bool can_move(const Stripe& stripe) const = 0;
  // ... and a helper should, instead of the data thread.
  [[nodiscard]] virtual bool wants_helper() const = 0;
  // Makes the stripe ready to move: claims a chunk. False: it failed the channel.
  virtual bool begin(Stripe& stripe) = 0;
  // After kAll.
  virtual void finish(Stripe& stripe) = 0;
  // The message has been put in its place.
  virtual void posted(const Message& message, Lock& lock) = 0;

  // Without the mutex, by who has taken the stripe.
  virtual Move move(Stripe& stripe, Wait wait) = 0;
  // By the data thread, in a test() of what is not finished.
  virtual void poll() = 0;

  // With the mutex held before and after, but not while bytes move.
  Move drive(Stripe& stripe, Lock& lock, Wait wait);
  void wake_helpers(std::size_t most);
  void chunk_through(Stripe& stripe);
  void fail(Status failure);
  void shut_down();
  [[nodiscard]] bool dead() const { return ending_ || failed_.load(std::memory_order_relaxed); }
  Message& at(std::uint64_t number) { return ring_[number % kMostInFlight]; }

  const StripedOptions options_;
  std::vector<std::unique_ptr<Stripe>> stripes_;  // Fixed once made.
  mutable std::mutex mutex_;
  std::array<Message, kMostInFlight> ring_;
  std::uint64_t posted_ = 0;
  std::uint64_t unfinished_ = 0;  // Messages.
  // What they were posted with. Written with the mutex held, read by the data thread without.
  std::atomic<std::uint64_t> unfinished_bytes_{0};
  bool ending_ = false;

 private:
  void run(Stripe& stripe);
  bool wait_for_work(Stripe& stripe, Lock& lock, bool may_spin);
  bool spin_for_work(Lock& lock);

  std::condition_variable untaken_;  // A stripe was given back, on a dead channel.
  std::atomic<bool> failed_{false};
  Status failure_;
  std::atomic<std::uint64_t> work_{0};  // Rises with every post, for helpers that spin.
  std::uint32_t in_flight_ = 0;         // Data thread.
};

}  // namespace sluice
