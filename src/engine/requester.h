// The initiator's side of one-sided transfers with one peer. Each has a slot from its Request on:
//
//   free --Request--> sending --last Part--> asked
//   asked --Granted--> granted --> moving --Landed--> landed --> free          write
//   asked --Landed--> landed --> free                      write whose data was in its Request
//   asked --Answer, or (moving) all chunks--> got --Got--> free                 read
//   asked --Denied--> free
//   moving --Denied--> landed --> free                         write that arrived with other data
//   moving --> aborting                                        read that arrived with other data
//   sending to moving --Abort--> aborting --Aborted--> aborted --> free        cancelled
//
// An Abort and the target's last word may cross: whichever of its words comes, it is the last.
// A slot whose transfer notifies is not free before Released.
//
// Urgent transfers go before the others, and some slots and some of what the target holds for us
// are kept for them. One thread.
#pragma once

#include <array>
#include <cstdint>

#include "src/engine/bootstrap.h"
#include "src/engine/context.h"
#include "src/engine/frame_stream.h"
#include "src/engine/kept_lists.h"
#include "src/engine/outbound.h"
#include "src/engine/wire.h"

namespace sluice {

class Requester {
 public:
  // Everything given must outlive this.
  Requester(const Context& context, Outbound& outbound);

  void enqueue(std::uint64_t transfer);
  // Ends a transfer of ours, for the reason given, as soon as that is safe.
  void cancel(std::uint64_t transfer, const Status& why);
  // When the next deadline is; INT64_MAX: there is none.
  [[nodiscard]] Nanoseconds next_deadline() const { return next_deadline_; }

  // Frames of the target's. Not OK: it broke the protocol.
  Status on_granted(const wire::Granted& granted);
  Status on_denied(const wire::Denied& denied);
  Status on_landed(const wire::Slot& landed);
  Status on_answer(const wire::SlotBytes& answer);
  Status on_released(const wire::Slot& released);
  Status on_aborted(const wire::Slot& aborted);
  // The read that awaits chunks in this slot. Of one that is being aborted they are not wanted any
  // more, but come.
  struct Reading {
    std::uint64_t transfer = 0;  // 0: none.
    bool unwanted = false;
  };
  [[nodiscard]] Reading reading(std::uint64_t slot);
  // The write of this slot whose chunks are moved; 0: there is none, or it is being aborted.
  [[nodiscard]] std::uint64_t writing(std::uint16_t slot) const {
    const Entry& entry = entries_[slot];
    return entry.writes && entry.state == State::kMoving ? entry.transfer : 0;
  }

  // No transfer is under way or waits.
  [[nodiscard]] bool still() const {
    return used_ == 0 && waiting_first_.empty() && waiting_.empty();
  }
  // One pass. Adds to `steps`.
  void advance(FrameStream& link, const PeerLimits& limits, std::size_t& steps);

 private:
  enum class State : std::uint8_t {
    kFree,
    kSending,
    kAsked,
    kGranted,
    kMoving,
    kLanded,
    kGot,
    kReleasing,
    kAborting,
    kAborted,
  };
  struct Entry {
    State state = State::kFree;
    bool writes = false;
    bool notifies = false;
    bool carries_data = false;
    bool keeps_list = false;  // The target will keep its list, as list_id.
    std::uint16_t list_id = 0;
    std::uint64_t transfer = 0;  // 0: it is over, the slot is not yet free.
    std::uint64_t payload_bytes = 0;
    std::uint64_t sent = 0;  // Of the payload.
    std::uint64_t granted_chunk_bytes = 0;
    Status why;               // It is being aborted, or has landed as something else.
    bool abort_told = false;  // The Abort is out.
  };

  // The slots of one priority, then those that wait for one. False: the control connection is full.
  bool advance(TransferQueue& waiting, std::uint64_t slots, FrameStream& link,
               const PeerLimits& limits, std::size_t& steps);
  bool start_waiting(TransferQueue& waiting, FrameStream& link, const PeerLimits& limits,
                     std::size_t& steps);
  // Whether a slot and `payload` bytes may be had; `kept`: those that are not kept for others.
  [[nodiscard]] bool room_for(std::uint64_t payload, const PeerLimits& limits, bool kept) const;
  bool start(FrameStream& link, const PeerLimits& limits, std::uint64_t id, std::uint16_t slot);
  bool step(std::uint16_t slot, FrameStream& link, const PeerLimits& limits);
  bool step_aborting(std::uint16_t slot, Entry& entry, FrameStream& link);
  void expire(Nanoseconds now);
  void expire(Nanoseconds now, std::uint64_t transfer);
  [[nodiscard]] bool untouched(const Entry& entry) const;
  [[nodiscard]] bool may_have_landed(const Entry& entry) const;
  void land(Entry& entry, const Status& status);
  bool send_part(std::uint16_t slot, FrameStream& link);
  void end(Entry& entry, const Status& status);
  void free(Entry& entry);
  [[nodiscard]] std::uint64_t small_bytes(const PeerLimits& limits) const;

  const Context& context_;
  Outbound& outbound_;
  TransferQueue waiting_first_;  // The urgent ones.
  TransferQueue waiting_;
  ToldLists told_;
  std::array<Entry, wire::kMostSlots> entries_{};
  std::uint64_t used_ = 0;    // Bits: slots that are not free.
  std::uint64_t urgent_ = 0;  // Bits: of these, the urgent ones.
  std::uint64_t held_ = 0;    // Payload bytes that the target holds for us.
  Nanoseconds next_deadline_ = INT64_MAX;
};

}  // namespace sluice
