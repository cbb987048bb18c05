// The target's side of one-sided transfers with one peer: checks what is asked against the regions
// that were exported, and only then lets anything happen. Its user does nothing but drive the
// engine, and takes notifications. Each slot of the initiator's goes
//
//   free --Request, Part...--> checking --> denied --> free
//   checking --> landed --> free, or untaken               write, its data in the Request
//   checking --> granting --> moving --> landed --> free, or untaken              write
//                             moving --> denied --> free                 write whose data differs
//   checking --> answering or launching --> moving --Got--> free, or untaken      read
//   receiving to moving --Abort--> aborting, when all that was announced has come: free
//
// and untaken --take_notification()--> releasing --> free. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "src/engine/bootstrap.h"
#include "src/engine/context.h"
#include "src/engine/frame_stream.h"
#include "src/engine/kept_lists.h"
#include "src/engine/outbound.h"
#include "src/engine/wire.h"

namespace sluice {

class Server {
 public:
  // Everything given must outlive this.
  Server(const Context& context, std::uint64_t peer, Outbound& outbound);

  // Frames of the initiator's. Not OK: it broke the protocol.
  Status on_request(const wire::Request& request);
  Status on_part(const wire::SlotBytes& part);
  Status on_got(const wire::Slot& got);
  Status on_abort(const wire::Denied& abort);
  // The write that awaits chunks in this slot; 0: none does.
  [[nodiscard]] std::uint64_t writing(std::uint64_t slot);
  // The read that is served in this slot, its chunks being moved; 0: there is none.
  [[nodiscard]] std::uint64_t reading(std::uint16_t slot) const {
    const Entry& entry = entries_[slot];
    const bool reads = entry.request.operation == wire::Operation::kRead;
    return reads && entry.state == State::kMoving ? entry.transfer : 0;
  }

  // Nothing is asked of it, and every notification is taken.
  [[nodiscard]] bool still() const { return used_ == 0; }
  // One pass. Not OK: the initiator broke the protocol. Adds to `steps`.
  Status advance(FrameStream& link, const PeerLimits& limits, std::size_t& steps);

  // It has been asked for something that has a place among the transfers or waits for one.
  [[nodiscard]] bool asked() const;

  // The next notification, in the order of the initiator's requests of a priority, whose data has
  // landed; the urgent ones first.
  bool take_notification(std::string& bytes);

 private:
  enum class State : std::uint8_t {
    kFree,
    kReceiving,  // Its payload.
    kChecking,   // Checked when the table of transfers has room.
    kDenied,
    kGranting,
    kAnswering,
    kAnswered,
    kLaunching,
    kMoving,
    kLanded,
    kUntaken,
    kReleasing,
    kAborting,
  };
  struct Entry {
    State state = State::kFree;
    wire::Request request;                               // Its payload is in `payload`.
    std::vector<std::byte> payload;                      // Kept for its memory.
    std::shared_ptr<const std::vector<std::byte>> list;  // Of a Request that names it.
    std::uint64_t transfer = 0;
    Status denial;
  };

  Status accept(Entry& entry, std::span<const std::byte> data);
  Status find_list(Entry& entry);
  void keep_list(Entry& entry);
  Status check(Entry& entry, Layout& layout, Status& denial);
  Status resolve(const Entry& entry, Layout& layout);
  Status begin(Entry& entry, Layout& layout, std::span<const std::byte> data);
  bool step(std::uint16_t slot, FrameStream& link, const PeerLimits& limits);
  Status advance(std::uint64_t slots, FrameStream& link, const PeerLimits& limits,
                 std::size_t& steps);
  bool take_notification(std::vector<std::uint16_t>& slots, std::string& bytes);
  [[nodiscard]] bool place_for(const Entry& entry);
  void data_there(Entry& entry);
  void free(Entry& entry);
  [[nodiscard]] static bool notifies(const Entry& entry) {
    return (entry.request.flags & wire::Request::kNotifies) != 0;
  }
  [[nodiscard]] static bool urgent(const Entry& entry) {
    return (entry.request.flags & wire::Request::kUrgent) != 0;
  }
  [[nodiscard]] static Priority priority_of(const Entry& entry) {
    return urgent(entry) ? Priority::kUrgent : Priority::kNormal;
  }
  std::uint32_t& places_of(const Entry& entry) { return places_[urgent(entry) ? 1 : 0]; }
  // Slots that notify, in the order of their requests, of the priority of this one.
  std::vector<std::uint16_t>& notify_of(const Entry& entry) {
    return urgent(entry) ? notify_first_ : notify_;
  }

  const Context& context_;
  const std::uint64_t peer_;
  Outbound& outbound_;
  KeptLists kept_;
  std::array<Entry, wire::kMostSlots> entries_;
  std::uint64_t used_ = 0;    // Bits: slots that are not free.
  std::uint64_t urgent_ = 0;  // Bits: of these, the urgent ones.
  std::uint64_t held_ = 0;    // Payload bytes.
  // In the table, of each priority; in a pass, at least so many.
  std::array<std::uint32_t, 2> places_{};
  std::vector<std::uint16_t> notify_first_;  // The urgent ones.
  std::vector<std::uint16_t> notify_;
  std::vector<std::uint64_t> region_bytes_;  // Scratch.
};

}  // namespace sluice
