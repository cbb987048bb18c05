// Net: a way to move bytes between two processes. The contract is that of a NCCL net plugin, made
// safe: docs/nets.md tells it as a sequence of calls, tests/contract checks it over every Net.
//
// Rules for all of it
//  - No call blocks, ever. One thread (the engine's) makes all calls on a Net and on what it made;
//    a Net may have helper threads of its own.
//  - A channel carries chunks one way, in order: the k-th post of the receiver meets the k-th post
//    of the sender. Only the oldest posted chunk is ever tested; the interface has no other test.
//  - Every posted chunk is reported exactly once, Done or Failed, oldest first; until then its
//    memory belongs to the Net. Once one has Failed, all behind it fail.
//  - A Net outlives everything it made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/engine.h"
#include "sluice/status.h"
#include "src/base/fragment.h"

namespace sluice {

enum class Delivery : std::uint8_t {
  kInPlace,    // The bytes are at their destination when the chunk is Done.
  kFragments,  // They lie in a bounce pool, scattered, until consumed.
};

// A NIC as a Net shows it.
struct Device {
  std::string name;
  std::string pci_path;     // "" when it has none.
  int numa_node = -1;       // -1: unknown
  double gbits_per_s = 0;   // 0: unknown
  bool host_memory = true;  // What it takes as source and destination.
  bool cuda_memory = false;
  Delivery delivery = Delivery::kInPlace;
  std::uint64_t largest_chunk = 0;   // bytes
  std::uint32_t most_in_flight = 0;  // chunks per channel
  std::uint32_t most_pieces = 1;     // of one chunk; more than 1: post_pieces() may be called
  bool takes_remainders = false;     // take_remainders() does something; in place only
  // What was reported as sent arrives also when its channel is destroyed before the receiver has
  // looked. Where not, an engine that closes keeps its channels until the peer has everything.
  bool sent_survives_close = true;
};

enum class PostAnswer : std::uint8_t {
  kPosted,  // The memory is the Net's until the chunk is reported.
  kBusy,    // Not now; nothing happened. Ordinary: try again in a later pass.
  kFailed,  // The channel is dead; failure() says why. Nothing happened to this chunk.
};
enum class TestAnswer : std::uint8_t { kPending, kDone, kFailed };
enum class MakeAnswer : std::uint8_t { kNotYet, kMade, kFailed };

// A part of a chunk that is spread over memory.
struct ChunkPiece {
  std::byte* at;
  std::uint64_t bytes;
};

// A chunk that has arrived. The spans stay valid until the chunk is consumed.
struct Arrival {
  std::uint64_t bytes = 0;              // What the sender sent: at most what was posted.
  std::span<const Fragment> fragments;  // Empty when the bytes are in place.
  std::span<const std::byte> pool;      // The bounce pool that the fragments point into.
  std::uint32_t remainder = 0;          // Of the bytes where they lie now, if it was to be taken.
};

// Memory as a Net knows it. Destroying it deregisters; nothing posted may use it then.
class NetMemory {
 public:
  virtual ~NetMemory() = default;
};

class SendChannel {
 public:
  // Only after abort() or when nothing is posted; does not block then.
  virtual ~SendChannel() = default;

  // `bytes` may be 0. `memory` covers the range.
  virtual PostAnswer post(const std::byte* from, std::uint64_t bytes, NetMemory& memory) = 0;
  // The same for a chunk that lies in pieces, of registered memory: 1 to the device's most_pieces,
  // which are only read. The list belongs to the Net until the chunk is reported.
  virtual PostAnswer post_pieces(std::span<const ChunkPiece>) { return PostAnswer::kFailed; }
  // Done: the memory may be reused. The receiver need not have the bytes yet, but they are on their
  // way: abort() and destruction do not stop them (unless the Device says so), only death or a
  // broken connection does. Only while something is posted.
  virtual TestAnswer test_oldest() = 0;
  // Whether of the chunks posted from now on the CRC32C remainder (src/base/crc32c.h) is taken of
  // the bytes where they lie, before they are sent; not at first. remainder() is that of the chunk
  // that test_oldest() has said Done of last.
  virtual void take_remainders(bool) {}
  [[nodiscard]] virtual std::uint32_t remainder() const { return 0; }
  // Gives up: every posted chunk is reported soon, whatever the peer does.
  virtual void abort() = 0;
  // Why something failed. OK while nothing has.
  [[nodiscard]] virtual Status failure() const = 0;
  // What its connection is like now, in words, for a report. "": the Net cannot tell.
  [[nodiscard]] virtual std::string diagnosis() const { return {}; }
};

class RecvChannel {
 public:
  virtual ~RecvChannel() = default;  // As SendChannel's.

  // Room for a chunk of at most `bytes`; a longer one fails the channel. `bytes` may be 0.
  virtual PostAnswer post(std::byte* into, std::uint64_t bytes, NetMemory& memory) = 0;
  // As SendChannel's: room in pieces, filled from the first on.
  virtual PostAnswer post_pieces(std::span<const ChunkPiece>) { return PostAnswer::kFailed; }
  // Fills `arrival` when Done. The engine then unpacks what is in fragments and calls
  // consume_oldest().
  virtual TestAnswer test_oldest(Arrival& arrival) = 0;
  // The oldest Done chunk that is not consumed: its fragments are no longer needed. Called once per
  // Done chunk, in order, also when it had no fragments.
  virtual void consume_oldest() = 0;
  virtual void take_remainders(bool) {}  // As SendChannel's; told in the Arrival.
  virtual void abort() = 0;
  [[nodiscard]] virtual Status failure() const = 0;
  [[nodiscard]] virtual std::string diagnosis() const { return {}; }  // As SendChannel's.
};

// Makes one receive channel.
class Listener {
 public:
  virtual ~Listener() = default;
  // What the sender gives to connect(); opaque, at most kHandleBytes. Secret: whoever has it can
  // take the channel.
  [[nodiscard]] virtual std::span<const std::byte> handle() const = 0;
  // Polled until it says Made, which fills `channel`, or Failed, which fills `failure`; never
  // after.
  virtual MakeAnswer accept(std::unique_ptr<RecvChannel>& channel, Status& failure) = 0;
};

// Makes one send channel.
class Connector {
 public:
  virtual ~Connector() = default;
  virtual MakeAnswer connect(std::unique_ptr<SendChannel>& channel, Status& failure) = 0;
};

class Net {
 public:
  // NCCL_NET_HANDLE_MAXSIZE, and a header around a handle of a plugin.
  static constexpr std::size_t kHandleBytes = 128 + 16;

  virtual ~Net() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;  // "tcp", "plugin", "sim"
  [[nodiscard]] virtual const std::vector<Device>& devices() const = 0;

  virtual Result<std::unique_ptr<NetMemory>> register_memory(std::span<std::byte> range,
                                                             Memory kind) = 0;

  // `reach` is the address of ours at which the peer reached us on the control connection: a Net
  // that was not told which address to use puts it in the handle.
  virtual Result<std::unique_ptr<Listener>> listen(std::uint32_t device,
                                                   std::string_view reach) = 0;
  // kProtocol: not a handle of this Net.
  virtual Result<std::unique_ptr<Connector>> connect(std::uint32_t device,
                                                     std::span<const std::byte> handle) = 0;

  // Drives what accept() and connect() wait for. Called once per pass while any is unanswered.
  virtual void progress() = 0;

  // Sleeping. wake_fd() is -1 for a Net that can only be polled. After arm(), and until disarm(),
  // it becomes readable when it is worth testing again: the engine arms, makes one more pass, and
  // only then sleeps. Never later than when all that is posted on a channel is finished.
  [[nodiscard]] virtual int wake_fd() const = 0;
  virtual void arm() = 0;
  virtual void disarm() = 0;
};

}  // namespace sluice
