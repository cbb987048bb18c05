#include "tools/report/channel_flow.h"

#include <algorithm>
#include <optional>

namespace sluice::report {
namespace {

// Goes over the events of one channel in their order.
class Walk {
 public:
  Walk(std::uint32_t window, Nanoseconds end) : window_(window), end_(end) {}

  void take(const Event& event) {
    if (!last_.has_value()) first_ = event.time;
    if (last_.has_value()) pass_time(event.time);
    last_ = event.time;
    ChannelFlow& flow = flow_;
    switch (event.kind) {
      case EventKind::kPosted: {
        ChunkTimes& chunk = flow.chunks[event.number];
        chunk.transfer = event.transfer;
        chunk.bytes = event.bytes;
        chunk.posted = event.time;
        ++flow.in_flight;
        break;
      }
      case EventKind::kArrived:
        flow.chunks[event.number].arrived = event.time;
        break;
      case EventKind::kReleased:
      case EventKind::kFailed:
        flow.chunks[event.number].released = event.time;
        flow.chunks[event.number].failed = event.kind == EventKind::kFailed;
        if (flow.in_flight > 0) --flow.in_flight;
        break;
      case EventKind::kBusy:
        ++flow.busy;
        break;
      case EventKind::kAborted:
        flow.aborted = true;
        break;
      default:
        break;
    }
  }
  // What was in flight when the recording begins.
  void begin_with(std::uint32_t in_flight) { flow_.in_flight = in_flight; }

  ChannelFlow finish() {
    pass_time(end_);
    flow_.span = end_ - first_;
    if (flow_.span > 0) {
      const auto span = static_cast<double>(flow_.span);
      flow_.mean_in_flight = area_ / span;
      flow_.full = full_ / span;
      flow_.empty = empty_ / span;
    }
    for (const auto& [number, chunk] : flow_.chunks) {
      if (chunk.released != 0) continue;
      flow_.oldest = chunk.posted;
      break;
    }
    return std::move(flow_);
  }

 private:
  void pass_time(Nanoseconds now) {
    const Nanoseconds took = now - *last_;
    const auto time = static_cast<double>(took);
    area_ += time * flow_.in_flight;
    if (flow_.in_flight >= window_) full_ += time;
    if (flow_.in_flight == 0) empty_ += time;
    if (flow_.in_flight > 0 && took > flow_.longest_gap) {
      flow_.longest_gap = took;
      flow_.gap_begin = *last_;
      flow_.gap_in_flight = flow_.in_flight;
    }
  }

  std::uint32_t window_;
  Nanoseconds end_;
  Nanoseconds first_ = 0;
  std::optional<Nanoseconds> last_;
  double area_ = 0;
  double full_ = 0;
  double empty_ = 0;
  ChannelFlow flow_;
};

bool of_channel(EventKind kind) {
  return kind >= EventKind::kPacking && kind <= EventKind::kAborted;
}

// The first number that is posted, and the first that is released.
struct Firsts {
  std::optional<std::uint32_t> posted;
  std::optional<std::uint32_t> released;
};

}  // namespace

std::map<ChannelKey, ChannelFlow> channel_flows(const Recording& recording) {
  const Nanoseconds end =
      recording.events.empty() ? 0 : std::max(recording.taken_at, recording.events.back().time);
  std::map<ChannelKey, Firsts> firsts;
  std::map<ChannelKey, Walk> walks;
  const auto key_of = [](const Event& event) {
    return ChannelKey{event.peer, event.channel, event.detail == kSends};
  };
  for (const Event& event : recording.events) {
    if (!of_channel(event.kind)) continue;
    Firsts& first = firsts[key_of(event)];
    const bool released = event.kind == EventKind::kReleased || event.kind == EventKind::kFailed;
    if (event.kind == EventKind::kPosted && !first.posted) first.posted = event.number;
    if (released && !first.released) first.released = event.number;
  }
  for (const Event& event : recording.events) {
    if (!of_channel(event.kind)) continue;
    const ChannelKey key = key_of(event);
    const auto [walk, fresh] = walks.try_emplace(key, recording.window, end);
    const Firsts& first = firsts[key];
    if (fresh && first.posted && first.released && *first.released < *first.posted) {
      walk->second.begin_with(std::min(*first.posted - *first.released, recording.window));
    }
    walk->second.take(event);
  }
  std::map<ChannelKey, ChannelFlow> flows;
  for (auto& [key, walk] : walks) flows.emplace(key, walk.finish());
  return flows;
}

}  // namespace sluice::report
