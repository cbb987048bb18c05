// What users asked and what became of it: regions, transfers, completions. All memory is allocated
// when the table is made. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sluice/engine.h"
#include "src/base/clock.h"
#include "src/base/slot_pool.h"
#include "src/engine/block_list.h"
#include "src/engine/layout.h"
#include "src/engine/region_export.h"
#include "src/net/net.h"
#include "src/observe/recorder.h"

namespace sluice {

// Of a transfer of the user's; the last two serve one of a peer's and yield no Completion.
enum class Direction : std::uint8_t { kSend, kRecv, kWrite, kRead, kServedWrite, kServedRead };

constexpr bool serves(Direction direction) {
  return direction == Direction::kServedWrite || direction == Direction::kServedRead;
}
// Its bytes go from here to the peer.
constexpr bool sends(Direction direction) {
  return direction == Direction::kSend || direction == Direction::kWrite ||
         direction == Direction::kServedRead;
}

// Both ends sum the bytes of a transfer that moves in chunks, and the receiver compares.
struct DataCheck {
  bool wanted = false;
  bool settled = false;                      // Receiver: the sums agree. Sender: its sum is told.
  bool differs = false;                      // Receiver, of a one-sided transfer: they do not.
  std::uint32_t remainder = 0;               // Of the chunks summed so far.
  std::optional<std::uint32_t> told_crc32c;  // Receiver: the sender's.
};

struct Transfer {
  Direction direction{};
  Priority priority = Priority::kNormal;
  bool complete = false;  // In the queue of completions; its memory is the user's again.
  bool answered = false;  // Served read: the reader has everything, it waits for the Net alone.
  bool on_host = false;   // The host reaches the memory.
  PeerId peer{};
  RegionId region{};
  NetMemory* memory = nullptr;  // nullptr: the Net does not take it, chunks go through staging.
  std::byte* data = nullptr;    // nullptr: spread over `layout`.
  std::uint64_t length = 0;     // Of the user's slices.
  Layout* layout = nullptr;     // Of one-sided transfers; the table's.

  std::uint64_t sequence = 0;       // The k-th send to a peer meets its k-th receive; or a slot.
  std::uint64_t message_bytes = 0;  // Of a receive: as announced. 0 until then.
  std::uint64_t chunk_bytes = 0;    // 0: no manifest has named it yet.
  std::uint64_t chunks = 0;         // In the whole message.
  std::uint64_t announced = 0;      // Of these: posted (send), read from manifests (receive).
  std::uint64_t finished = 0;       // Of these: reported by the Net and, of a receive, in place.
  std::uint64_t in_net = 0;         // With the Net or the Gpu, and not yet released.

  Status status;
  Nanoseconds deadline = 0;  // 0: none.
  std::uint64_t next = 0;    // The transfer behind it in a TransferQueue.

  DataCheck check;

  [[nodiscard]] bool in_place() const { return chunks > 0 && finished == chunks; }
  [[nodiscard]] bool moved() const { return in_place() && checked(); }
  [[nodiscard]] bool checked() const { return !check.wanted || check.settled; }
  [[nodiscard]] SummedBy summed_by() const {
    if (!check.wanted) return SummedBy::kNobody;
    return on_host ? SummedBy::kHost : SummedBy::kGpu;
  }
  // Of one that is in place and has its Sum: OK, or kCorrupted.
  [[nodiscard]] Status compare() const;
};

struct Region {
  std::byte* base = nullptr;
  std::uint64_t length = 0;
  Memory kind = Memory::kHost;
  std::uint32_t uses = 0;             // Transfers that are not complete.
  std::unique_ptr<NetMemory> memory;  // nullptr: the Net does not take it.
  RegionExports exports;
};

class TransferTable {
 public:
  // `recorder`, which outlives this, is told of what is asked and completed; nullptr: nobody is.
  TransferTable(std::uint32_t max_transfers, std::uint32_t max_regions,
                Recorder* recorder = nullptr);

  Result<RegionId> add_region(std::span<std::byte> range, Memory kind,
                              std::unique_ptr<NetMemory> memory);
  Status remove_region(RegionId region);
  [[nodiscard]] const Region* find_region(RegionId region) const {
    return regions_.find(static_cast<std::uint64_t>(region));
  }
  [[nodiscard]] Region* find_region(RegionId region) {
    return regions_.find(static_cast<std::uint64_t>(region));
  }
  [[nodiscard]] bool regions_full() const { return regions_.full(); }

  // kNotFound: no such region; kInvalidArgument: outside of it; kWouldBlock: max_transfers.
  Result<TransferId> add(Direction direction, PeerId peer, Slice slice,
                         Priority priority = Priority::kNormal);
  // A one-sided transfer of `length` bytes, whose layout has its regions and its list; it is the
  // table's from now on. kWouldBlock: max_transfers, and the layout is still the caller's.
  Result<TransferId> add(Direction direction, PeerId peer, std::uint64_t length, Layout& layout,
                         Priority priority);
  // An empty layout, to be given to add() or back.
  Layout& take_layout();
  void give_back(Layout& layout);
  // Packs slices of the user's into an empty layout. Errors as of add(); `bytes` is their sum.
  Status lay_out(std::span<const Slice> slices, Layout& layout, std::uint64_t& bytes);
  // Of the places for transfers that serve peers, one peer has at most its share, and as many for
  // urgent ones.
  void share_places(std::uint32_t peers) {
    share_ = std::max(1u, max_transfers_ / std::max(1u, peers));
  }
  // One that serves a peer which has `places` already, for those of this priority, can be added.
  [[nodiscard]] bool can_serve(std::uint32_t places, Priority priority) const {
    return places < share_ && serving_ < most_serving(priority);
  }
  // No more of the user's transfers can be added; no_room() says it in words.
  [[nodiscard]] bool full() const { return transfers_.used() - serving_ >= max_transfers_; }
  [[nodiscard]] static const Status& no_room();
  [[nodiscard]] Transfer* find(std::uint64_t id) { return transfers_.find(id); }

  // The one final word on a transfer. Only when no chunk of it is in the Net.
  void complete(std::uint64_t id, std::uint64_t bytes, const Status& status);
  std::size_t poll(std::span<Completion> out);
  // Completions so far, polled or not.
  [[nodiscard]] std::uint64_t completed() const { return done_tail_; }

  template <typename Visit>
  void for_each(Visit&& visit) {
    transfers_.for_each(visit);
  }

 private:
  void note(EventKind kind, std::uint64_t id, const Transfer& transfer, std::uint64_t bytes);

  struct Done {
    std::uint64_t id;
    std::uint64_t bytes;
  };

  Status check(Slice slice, const Region* region) const;
  std::uint64_t acquire(Direction direction, Priority priority);
  // An eighth is kept for the urgent ones.
  [[nodiscard]] std::uint32_t most_serving(Priority priority) const {
    return max_transfers_ - (priority == Priority::kUrgent ? 0 : max_transfers_ / 8);
  }

  const std::uint32_t max_transfers_;  // Of users, and as many that serve peers.
  std::uint32_t serving_ = 0;
  std::uint32_t share_;
  SlotPool<Transfer> transfers_;
  SlotPool<Region> regions_;
  BlockPacker packer_;
  std::vector<std::unique_ptr<Layout>> layouts_;
  std::vector<Layout*> spare_layouts_;
  Recorder* recorder_;
  std::vector<Done> done_;  // A ring: as many places as transfers, so it cannot overflow.
  std::uint64_t done_head_ = 0;
  std::uint64_t done_tail_ = 0;
};

// A FIFO of transfers, linked through them.
class TransferQueue {
 public:
  explicit TransferQueue(TransferTable& table) : table_(table) {}

  [[nodiscard]] bool empty() const { return head_ == 0; }
  [[nodiscard]] std::uint64_t front() const { return head_; }  // 0 when empty.
  void push(std::uint64_t id);
  void pop();
  bool remove(std::uint64_t id);  // From anywhere. False: it is not in it.

 private:
  TransferTable& table_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace sluice
