// What users asked and what became of it: regions, transfers, completions. All memory is allocated
// when the table is made. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sluice/engine.h"
#include "src/base/slot_pool.h"
#include "src/net/net.h"
#include "src/observe/recorder.h"

namespace sluice {

enum class Direction : std::uint8_t { kSend, kRecv };

struct Transfer {
  Direction direction{};
  bool complete = false;  // In the queue of completions; its memory is the user's again.
  PeerId peer{};
  RegionId region{};
  NetMemory* memory = nullptr;  // nullptr: the Net does not take it, chunks go through staging.
  Memory kind = Memory::kHost;
  std::byte* data = nullptr;
  std::uint64_t length = 0;  // Of the user's slice.

  std::uint64_t sequence = 0;       // The k-th send to a peer meets its k-th receive.
  std::uint64_t message_bytes = 0;  // Of a receive: as announced. 0 until then.
  std::uint64_t chunk_bytes = 0;    // 0: no manifest has named it yet.
  std::uint64_t chunks = 0;         // In the whole message.
  std::uint64_t announced = 0;      // Of these: posted (send), read from manifests (receive).
  std::uint64_t finished = 0;       // Of these: reported by the Net and, of a receive, in place.
  std::uint64_t in_net = 0;         // With the Net or the Gpu, and not yet released.

  Status status;
  std::uint64_t next = 0;  // The transfer behind it in a TransferQueue.
};

struct Region {
  std::byte* base = nullptr;
  std::uint64_t length = 0;
  std::uint32_t uses = 0;             // Transfers that are not complete.
  std::unique_ptr<NetMemory> memory;  // nullptr: the Net does not take it.
  Memory kind = Memory::kHost;
};

class TransferTable {
 public:
  // `recorder`, which outlives this, is told of what is asked and completed; nullptr: nobody is.
  TransferTable(std::uint32_t max_transfers, std::uint32_t max_regions,
                Recorder* recorder = nullptr);

  Result<RegionId> add_region(std::span<std::byte> range, Memory kind,
                              std::unique_ptr<NetMemory> memory);
  Status remove_region(RegionId region);
  [[nodiscard]] bool regions_full() const { return regions_.full(); }

  // kNotFound: no such region; kInvalidArgument: outside of it; kWouldBlock: max_transfers.
  Result<TransferId> add(Direction direction, PeerId peer, Slice slice);
  [[nodiscard]] Transfer* find(std::uint64_t id) { return transfers_.find(id); }

  // The one final word on a transfer. Only when no chunk of it is in the Net.
  void complete(std::uint64_t id, std::uint64_t bytes, const Status& status);
  std::size_t poll(std::span<Completion> out);

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

  SlotPool<Transfer> transfers_;
  SlotPool<Region> regions_;
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
  [[nodiscard]] std::uint64_t front() const { return head_; }
  void push(std::uint64_t id);
  void pop();

 private:
  TransferTable& table_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace sluice
