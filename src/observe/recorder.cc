#include "src/observe/recorder.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace sluice {

Recorder::Recorder(std::uint32_t events) {
  if (events == 0) return;
  const std::uint64_t size = std::bit_ceil(std::uint64_t{events});
  ring_ = std::make_unique_for_overwrite<Event[]>(size);
  mask_ = size - 1;
}

void Recorder::slept(Nanoseconds from, Nanoseconds to) {
  if (!on()) return;
  const auto duration = static_cast<std::uint64_t>(std::max<Nanoseconds>(to - from, 0));
  Event* last = recorded_ == 0 ? nullptr : &ring_[(recorded_ - 1) & mask_];
  if (last != nullptr && last->kind == EventKind::kSlept &&
      last->number < std::numeric_limits<std::uint32_t>::max()) {
    last->transfer += duration;
    ++last->number;
  } else {
    at(from);
    add({0, duration, 1, 0, 0, 0, EventKind::kSlept, 0});
  }
  at(to);
}

void Recorder::met(const RecordedPeer& peer) {
  if (!on()) return;
  if (peers_.size() == kMostPeers) peers_.erase(peers_.begin());
  peers_.push_back(peer);
}

std::optional<Nanoseconds> Recorder::when(const Event& wanted) const {
  const std::uint64_t count = on() ? std::min(recorded_, mask_ + 1) : 0;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const Event& event = ring_[(recorded_ - i) & mask_];
    if (event.kind == wanted.kind && event.number == wanted.number && event.peer == wanted.peer &&
        event.channel == wanted.channel && event.detail == wanted.detail) {
      return event.time;
    }
  }
  return std::nullopt;
}

std::vector<Event> Recorder::events() const {
  const std::uint64_t count = on() ? std::min(recorded_, mask_ + 1) : 0;
  std::vector<Event> result(count);
  for (std::uint64_t i = 0; i < count; ++i) result[i] = ring_[(recorded_ - count + i) & mask_];
  return result;
}

}  // namespace sluice
