#include "tools/report/summary.h"

#include <fmt/format.h>

#include <map>
#include <vector>

#include "src/engine/bootstrap.h"
#include "tools/perf/statistics.h"
#include "tools/report/channel_flow.h"

namespace sluice::report {
namespace {

double seconds(Nanoseconds time) { return static_cast<double>(time) / 1e9; }

// "12.3 us", "4.56 ms", "7.89 s"
std::string duration(double nanoseconds) {
  if (nanoseconds < 1e6) return fmt::format("{:.1f} us", nanoseconds / 1e3);
  if (nanoseconds < 1e9) return fmt::format("{:.2f} ms", nanoseconds / 1e6);
  return fmt::format("{:.2f} s", nanoseconds / 1e9);
}

std::string middle_and_worst(std::vector<double>& samples) {
  const std::string middle = duration(perf::percentile(samples, 50));
  return fmt::format("median {}, p99 {}", middle, duration(perf::percentile(samples, 99)));
}

// One transfer, as far as it is in the recording.
struct TransferTimes {
  bool sends = false;
  bool complete = false;
  Nanoseconds asked = 0;
  Nanoseconds first_chunk = 0;
  Nanoseconds completed = 0;
};

class Summary {
 public:
  explicit Summary(const Timeline& timeline) : timeline_(timeline) {
    for (const Track& track : timeline.tracks) flows_.push_back(channel_flows(track.recording));
  }

  std::string text() {
    std::string text;
    for (std::size_t i = 0; i < timeline_.tracks.size(); ++i) {
      const Track& track = timeline_.tracks[i];
      text += head(track);
      for (const auto& [key, flow] : flows_[i]) {
        text += channel(track, key, flow);
        text += journey(track, key, flow);
      }
      text += transfers(track.recording);
      text += peers(track);
    }
    return text;
  }

 private:
  // On the common clock, from its beginning.
  [[nodiscard]] double at(const Track& track, Nanoseconds time) const {
    return seconds(time + track.shift - timeline_.begin);
  }

  std::string head(const Track& track) const {
    const Recording& recording = track.recording;
    std::string text =
        fmt::format("engine {} ({}, window {}), recorded because: {}\n", printable(recording.name),
                    printable(recording.net), recording.window, printable(recording.reason));
    text += fmt::format("  clock: {}\n", track.clock);
    if (recording.events.empty()) return text + "  no events\n";
    double slept = 0;
    std::uint64_t sleeps = 0;
    for (const Event& event : recording.events) {
      if (event.kind != EventKind::kSlept) continue;
      slept += static_cast<double>(event.transfer);
      sleeps += event.number;
    }
    const Nanoseconds first = recording.events.front().time;
    const double span = seconds(recording.taken_at - first);
    text += fmt::format("  {} of {} events, {:.6f} to {:.6f} s; asleep {:.0f} % of it, {} times\n",
                        recording.events.size(), recording.recorded, at(track, first),
                        at(track, recording.taken_at), span > 0 ? slept / 1e7 / span : 0, sleeps);
    return text;
  }

  std::string channel(const Track& track, const ChannelKey& key, const ChannelFlow& flow) const {
    const Recording& recording = track.recording;
    std::uint64_t posted = 0;
    std::uint64_t failed = 0;
    std::uint64_t bytes = 0;
    std::vector<double> in_net;
    std::vector<double> with_gpu;
    for (const auto& [number, chunk] : flow.chunks) {
      if (chunk.posted != 0) ++posted;
      if (chunk.failed) ++failed;
      bytes += chunk.bytes;
      const Nanoseconds done = key.sends ? chunk.released : chunk.arrived;
      if (chunk.posted != 0 && done != 0) {
        in_net.push_back(static_cast<double>(done - chunk.posted));
      }
      if (!key.sends && chunk.arrived != 0 && chunk.released != 0) {
        with_gpu.push_back(static_cast<double>(chunk.released - chunk.arrived));
      }
    }
    std::string text = fmt::format(
        "  {} channel {}, {}: {} chunks posted, {:.3f} GB{}{}{}\n", key.sends ? "send" : "recv",
        key.channel, label_of(recording, key.peer), posted, static_cast<double>(bytes) / 1e9,
        failed > 0 ? fmt::format(", {} failed", failed) : "",
        flow.busy > 0 ? fmt::format(", Busy {} times", flow.busy) : "",
        flow.aborted ? ", aborted" : "");
    text += fmt::format(
        "    window: {:.1f} of {} in the mean, full {:.0f} % of the time, empty {:.0f} %\n",
        flow.mean_in_flight, recording.window, 100 * flow.full, 100 * flow.empty);
    if (!in_net.empty()) {
      text += fmt::format("    with the Net: {}", middle_and_worst(in_net));
      if (!with_gpu.empty()) text += fmt::format("; then in place: {}", middle_and_worst(with_gpu));
      text += "\n";
    }
    if (flow.longest_gap > 0) {
      text += fmt::format("    longest gap: {} from {:.6f} s, with {} in flight\n",
                          duration(static_cast<double>(flow.longest_gap)),
                          at(track, flow.gap_begin), flow.gap_in_flight);
    }
    if (flow.in_flight > 0) {
      text += fmt::format(
          "    at the end {} in flight, the oldest posted {}\n", flow.in_flight,
          flow.oldest == 0
              ? "before the recording begins"
              : duration(static_cast<double>(recording.taken_at - flow.oldest)) + " before");
    }
    return text;
  }

  // From one end's window into the other's, where both are here.
  std::string journey(const Track& track, const ChannelKey& key, const ChannelFlow& flow) const {
    if (key.sends) return "";
    for (std::size_t i = 0; i < timeline_.tracks.size(); ++i) {
      const Track& other = timeline_.tracks[i];
      const auto their_peer = peer_in(other.recording, track.recording);
      if (peer_in(track.recording, other.recording) != key.peer || !their_peer.has_value())
        continue;
      const auto found = flows_[i].find({*their_peer, key.channel, true});
      if (found == flows_[i].end()) continue;
      std::vector<double> took;
      for (const auto& [number, chunk] : flow.chunks) {
        const auto sent = found->second.chunks.find(number);
        if (sent == found->second.chunks.end() || chunk.arrived == 0 || sent->second.posted == 0) {
          continue;
        }
        took.push_back(
            static_cast<double>(chunk.arrived + track.shift - sent->second.posted - other.shift));
      }
      if (took.empty()) continue;
      return fmt::format("    from posted there to arrived here: {}, {} chunks\n",
                         middle_and_worst(took), took.size());
    }
    return "";
  }

  static std::map<std::uint64_t, TransferTimes> times_of(const Recording& recording) {
    std::map<std::uint64_t, TransferTimes> transfers;
    for (const Event& event : recording.events) {
      if (event.kind == EventKind::kAsked) {
        transfers[event.transfer] = {event.detail == kSends, false, event.time, 0, 0};
        continue;
      }
      if (event.kind != EventKind::kPosted && event.kind != EventKind::kCompleted) continue;
      const auto found = transfers.find(event.transfer);
      if (found == transfers.end()) continue;
      if (event.kind == EventKind::kCompleted) {
        found->second.complete = true;
        found->second.completed = event.time;
      } else if (found->second.first_chunk == 0) {
        found->second.first_chunk = event.time;
      }
    }
    return transfers;
  }

  static std::string transfers(const Recording& recording) {
    const auto all = times_of(recording);
    std::string text;
    for (const bool sends : {true, false}) {
      std::vector<double> waited;
      std::vector<double> moved;
      std::vector<double> small;  // Without a chunk.
      std::uint64_t outstanding = 0;
      Nanoseconds oldest = 0;
      for (const auto& [id, one] : all) {
        if (one.sends != sends) continue;
        if (!one.complete) {
          if (++outstanding == 1 || one.asked < oldest) oldest = one.asked;
          continue;
        }
        if (one.first_chunk == 0) {
          small.push_back(static_cast<double>(one.completed - one.asked));
          continue;
        }
        waited.push_back(static_cast<double>(one.first_chunk - one.asked));
        moved.push_back(static_cast<double>(one.completed - one.first_chunk));
      }
      const std::string name = sends ? "sends" : "receives";
      if (!waited.empty()) {
        text +=
            fmt::format("  {} {} with chunks: to the first chunk {}; from there to completion {}\n",
                        waited.size(), name, middle_and_worst(waited), middle_and_worst(moved));
      }
      if (!small.empty()) {
        text += fmt::format("  {} {} without: from asked to completed {}\n", small.size(), name,
                            middle_and_worst(small));
      }
      if (outstanding > 0) {
        text += fmt::format("  {} {} outstanding at the end, the oldest asked for {} before\n",
                            outstanding, name,
                            duration(static_cast<double>(recording.taken_at - oldest)));
      }
    }
    return text;
  }

  std::string peers(const Track& track) const {
    std::string text;
    for (const Event& event : track.recording.events) {
      if (event.kind != EventKind::kPeerFailed) continue;
      text += fmt::format("  {:.6f} s: {} ended: {}\n", at(track, event.time),
                          label_of(track.recording, event.peer),
                          to_string(static_cast<StatusCode>(event.detail)));
    }
    return text;
  }

  const Timeline& timeline_;
  std::vector<std::map<ChannelKey, ChannelFlow>> flows_;
};

}  // namespace

std::string summary_text(const Timeline& timeline) { return Summary(timeline).text(); }

}  // namespace sluice::report
