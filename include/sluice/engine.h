// Moves bytes between processes on different hosts, over plain TCP or a NCCL network plugin.
//
// An Engine belongs to one thread. Nothing here blocks but wait() and the destructor: an operation
// is accepted or refused at once, progress() does the work, poll() hands back what finished. Every
// accepted transfer yields exactly one Completion, also when its peer dies or the engine closes;
// until then its memory belongs to the engine. docs/architecture.md follows one transfer through.
//
//   auto engine = Engine::create({});                          // on both ends
//   auto peer = (*engine)->connect(address_of_the_other);  // on one; the other polls PeerEvents
//   auto region = (*engine)->register_memory(data, bytes, Memory::kHost);
//   auto id = (*engine)->send(*peer, {*region, 0, bytes});     // meets the other's recv()
//   while (none finished) { (*engine)->progress(); (*engine)->poll(completions); }
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sluice/options.h"
#include "sluice/status.h"

namespace sluice {

enum class Memory : std::uint8_t { kHost, kCuda };

// Ids are small values, never reused within an engine; a stale one gives kNotFound.
enum class RegionId : std::uint64_t {};
enum class PeerId : std::uint64_t {};
enum class TransferId : std::uint64_t {};
enum class RemoteRegionId : std::uint64_t {};

struct Slice {  // Part of a registered region.
  RegionId region;
  std::uint64_t offset;  // bytes
  std::uint64_t length;  // bytes; 0 is a message too
};

// What a peer may do with a region that was exported to it.
enum class Access : std::uint8_t { kRead = 1, kWrite = 2, kReadWrite = 3 };

struct RemoteSlice {  // Part of a region of a peer's.
  RemoteRegionId region;
  std::uint64_t offset;  // bytes
  std::uint64_t length;  // bytes
};

// Who goes first among the transfers with one peer, at both ends. Those of one priority take turns.
enum class Priority : std::uint8_t {
  kNormal,
  kUrgent,  // Whatever waits, waits for it: for the few that somebody waits for.
};

// What a peer told us with a write, a read or notify().
struct Notification {
  PeerId peer;
  std::string bytes;
};

struct TransferOptions {
  // Told to the peer when the data has landed: of a write, in its memory; of a read, in ours. May
  // be empty, which is a notification too; at most kLongestNotification. Copied at once.
  std::optional<std::span<const std::byte>> notification;
  // From the call on; what is not complete by then ends with kTimedOut, as cancel() would end it.
  // 0: none.
  std::chrono::microseconds deadline{0};
  Priority priority = Priority::kNormal;
};

struct Completion {
  TransferId id;
  PeerId peer;
  Status status;        // OK, or why the transfer ended early: names the peer and the cause.
  std::uint64_t bytes;  // Now visible in the slices of a receive or read, taken by a send, visible
                        // at the peer of a write. 0 if status is not OK.
};

enum class PeerEventKind : std::uint8_t {
  kConnected,  // A connect() of ours came through, or a peer connected to us.
  kLost,       // It is gone, for the reason in status. Its id is stale from now on.
};

struct PeerEvent {
  PeerId peer;
  PeerEventKind kind;
  Status status;     // OK for kConnected.
  std::string name;  // What the peer calls itself, with its address: "gpu0 (10.0.0.2:41234)".
};

// What driving an engine has cost so far.
struct EngineCounters {
  std::uint64_t passes = 0;        // progress(), also those that wait() and arm() make.
  std::uint64_t empty_passes = 0;  // Of them, those that found nothing to do.
  std::uint64_t wake_ups = 0;      // Returns from a sleep.
  std::uint64_t cpu_ns = 0;        // CPU time of the engine's thread, whatever it did.
};

class Engine {
 public:
  // kInvalidArgument names the option and its range; kUnavailable: the address is in use.
  static Result<std::unique_ptr<Engine>> create(const Options& options);

  // Tells every peer, fails what is in flight, then releases everything. Messages whose send has
  // completed still reach the peer. Takes at most a second, and that only if a peer does not read.
  virtual ~Engine() = default;

  // Memory. A region outlives the transfers that use it: deregistering earlier gives kWouldBlock.
  // `base` must stay mapped until deregister() or the engine's end.
  virtual Result<RegionId> register_memory(void* base, std::size_t length, Memory kind) = 0;
  virtual Status deregister(RegionId region) = 0;

  // Peers. address() is opaque printable text that holds this engine's secret: who has it may
  // connect. How it reaches the peer is the caller's business.
  [[nodiscard]] virtual std::string address() const = 0;
  // Returns at once; a PeerEvent tells when the peer is connected or could not be. Transfers may
  // be asked for at once. kInvalidArgument: not an address; kWouldBlock: max_peers reached.
  virtual Result<PeerId> connect(std::string_view address) = 0;
  // Ends what is in flight with kClosed; what the peer's completed sends left on the way is lost.
  virtual Status disconnect(PeerId peer) = 0;

  // Two-sided transfers. The k-th send to a peer meets the k-th receive that the peer has posted
  // for us; the receive may be longer. A send completes when its memory may be reused: the Net has
  // taken every byte. A receive completes when the bytes are in place. Bytes of an urgent send go
  // before those of others; it meets its receive all the same. kWouldBlock: max_transfers.
  virtual Result<TransferId> send(PeerId peer, Slice from,
                                  Priority priority = Priority::kNormal) = 0;
  virtual Result<TransferId> recv(PeerId peer, Slice into) = 0;

  // One-sided transfers. The target exports a region; how the bytes reach the initiator is the
  // caller's business. The initiator imports them, and reads and writes without the target's user
  // doing anything: the target's engine must be driven (progress(), or a ProgressThread).
  //
  //   target:     bytes = export_region(region, Access::kReadWrite)
  //   initiator:  remote = import_region(peer, bytes);  write(peer, {{slice}}, {{remote, 0, n}})
  //
  // The bytes are binary and good for as long as the region is registered; nobody can make or alter
  // them. kNotFound: no such region.
  virtual Result<std::string> export_region(RegionId region, Access access) = 0;
  // kInvalidArgument: not an export, or one of a later version; kNotFound: stale, of an earlier
  // start of that peer (of one that is not connected yet, transfers are told so);
  // kWouldBlock: max_remote_regions. Gone with its peer.
  virtual Result<RemoteRegionId> import_region(PeerId peer, std::string_view bytes) = 0;
  virtual Status forget_region(RemoteRegionId region) = 0;

  // Moves the bytes of the local slices, one after the other, to those of the remote slices, or
  // back: the two lists have as many bytes, but may cut them differently. Overlapping slices that
  // are written end up with anything; with checksums that, and memory that others change meanwhile,
  // is kCorrupted. A write completes when the target has every byte in place, a
  // read when this end has. The target checks every slice before it touches anything; what it
  // refuses completes with kDenied (access), kNotFound (the region is gone) or kInvalidArgument
  // (outside). A list is all of host memory or all of the GPU's, there in slices of 64 bytes or
  // more on average: kUnavailable otherwise. Transfers are not ordered among each other.
  // kWouldBlock: max_transfers.
  virtual Result<TransferId> write(PeerId peer, std::span<const Slice> from,
                                   std::span<const RemoteSlice> to,
                                   const TransferOptions& options = {}) = 0;
  virtual Result<TransferId> read(PeerId peer, std::span<const Slice> into,
                                  std::span<const RemoteSlice> from,
                                  const TransferOptions& options = {}) = 0;
  // A notification alone; completes when the peer's engine has it.
  static constexpr std::size_t kLongestNotification = 1 << 20;
  virtual Result<TransferId> notify(PeerId peer, std::span<const std::byte> bytes) = 0;
  // Ends a one-sided transfer early, or a message that has not begun. Its Completion comes when no
  // byte can reach its memory any more and nothing of it is read: what is on the way goes its way
  // first, all else stays where it is, and later transfers go on. It says kCancelled, and then the
  // target hears of it and is told no notification; or OK if it was too late, as if nothing had
  // been cancelled. kNotFound: complete already; kUnavailable: a message that has begun.
  virtual Status cancel(TransferId transfer) = 0;

  // What peers have told, as poll(). Those of one peer and one priority come in the order of its
  // calls; one of a transfer that failed does not come. What is not polled holds up the peer's
  // later requests.
  virtual std::size_t poll_notifications(std::span<Notification> out) = 0;

  // Makes one pass over every connection; returns how many steps were taken (0: idle).
  virtual std::size_t progress() = 0;
  // Fills `out` from the front; returns how many. What does not fit stays for the next call.
  virtual std::size_t poll(std::span<Completion> out) = 0;
  virtual std::size_t poll_peers(std::span<PeerEvent> out) = 0;

  // Blocks until progress() has something to do, or `limit` has passed, or interrupt() was called:
  // polls for spin_us, yielding the core, then sleeps, or as the cadence says. Call it when
  // progress() returned 0 and there is nothing else to do; never needed for correctness.
  virtual void wait(std::chrono::microseconds limit) = 0;
  // Ends a wait() of now or the next one. The only member that other threads may call.
  virtual void interrupt() = 0;

  // Waiting for several engines at once, or in an event loop of the caller's own, in place of
  // wait(). arm() says for how long at most to sleep until wake_fd() is readable; 0: not now, there
  // is work or the cadence does not allow it. After more than 0, disarm() comes before any other
  // call.
  virtual std::chrono::microseconds arm() = 0;
  virtual void disarm() = 0;
  [[nodiscard]] virtual int wake_fd() const = 0;

  // How every peer stands: windows, credits, how long nothing has moved, what that most likely
  // means and what to try. For people: its lines may change.
  // With recorder_dir set, also keeps a recording there and names it.
  [[nodiscard]] virtual std::string report() = 0;
  // Writes this engine's last events to a file, for `sluice report` (docs/recording.md).
  // kInvalidArgument: recorder_events is 0; kSystem: it cannot be written.
  virtual Status record_to(const std::string& path) = 0;

  // On the engine's thread, whose CPU time it tells.
  [[nodiscard]] virtual EngineCounters counters() const = 0;
};

// The address of an engine whose host, port and token are known from elsewhere: what a command
// line has. Resolves `host`, which may block. "" as token: an engine with allow_anyone.
// kNotFound: unknown host; kInvalidArgument: port 0.
[[nodiscard]] Result<std::string> make_address(std::string_view host, std::uint16_t port,
                                               std::string_view token);

}  // namespace sluice
