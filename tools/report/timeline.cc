#include "tools/report/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

#include "src/engine/bootstrap.h"

namespace sluice::report {
namespace {

// The shortest time that a frame seems to take from one recording to the other, whose clocks
// differ, and how many were compared.
struct Passage {
  Nanoseconds shortest = std::numeric_limits<Nanoseconds>::max();
  std::size_t frames = 0;
};

Passage passage(const Recording& from, std::uint32_t to_peer, const Recording& to,
                std::uint32_t from_peer) {
  std::unordered_map<std::uint32_t, Nanoseconds> sent;
  for (const Event& event : from.events) {
    if (event.kind == EventKind::kFrameOut && event.peer == to_peer) {
      sent[event.number] = event.time;
    }
  }
  Passage result;
  for (const Event& event : to.events) {
    if (event.kind != EventKind::kFrameIn || event.peer != from_peer) continue;
    const auto found = sent.find(event.number);
    if (found == sent.end()) continue;
    // Unsigned: a file may hold any times.
    const auto took = static_cast<Nanoseconds>(static_cast<std::uint64_t>(event.time) -
                                               static_cast<std::uint64_t>(found->second));
    result.shortest = std::min(result.shortest, took);
    ++result.frames;
  }
  return result;
}

Nanoseconds sum(Nanoseconds a, Nanoseconds b) {
  return static_cast<Nanoseconds>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
Nanoseconds difference(Nanoseconds a, Nanoseconds b) {
  return static_cast<Nanoseconds>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

void keep_last_of_each_engine(std::vector<Recording>& recordings) {
  std::vector<Recording> kept;
  for (Recording& recording : recordings) {
    const auto same = std::find_if(kept.begin(), kept.end(), [&](const Recording& other) {
      return other.generation == recording.generation;
    });
    if (same == kept.end()) {
      kept.push_back(std::move(recording));
    } else if (recording.recorded >= same->recorded) {
      *same = std::move(recording);
    }
  }
  recordings = std::move(kept);
}

// Places every track that shares frames with one whose place is known.
void place_by_frames(std::vector<Track>& tracks, std::vector<bool>& placed) {
  for (bool any = true; any;) {
    any = false;
    for (std::size_t i = 0; i < tracks.size(); ++i) {
      for (std::size_t j = 0; j < tracks.size() && placed[i]; ++j) {
        if (placed[j]) continue;
        const auto offset = offset_between(tracks[i].recording, tracks[j].recording);
        if (!offset.has_value()) continue;
        tracks[j].shift = sum(tracks[i].shift, offset->shift);
        tracks[j].clock = fmt::format(
            "{:+.6f} s to that of {}, from {} control frames one way and {} the other: within "
            "{:.1f} us",
            static_cast<double>(offset->shift) / 1e9, printable(tracks[i].recording.name),
            offset->out, offset->back, static_cast<double>(offset->error) / 1e3);
        placed[j] = any = true;
      }
    }
  }
}

}  // namespace

std::optional<std::uint32_t> peer_in(const Recording& recording, const Recording& of) {
  std::optional<std::uint32_t> found;
  for (const RecordedPeer& peer : recording.peers) {
    if (peer.generation != of.generation) continue;
    if (found.has_value()) return std::nullopt;
    found = static_cast<std::uint32_t>(peer.id);
  }
  return found;
}

std::optional<Offset> offset_between(const Recording& first, const Recording& second) {
  const auto second_peer = peer_in(first, second);
  const auto first_peer = peer_in(second, first);
  if (!second_peer.has_value() || !first_peer.has_value()) return std::nullopt;
  const Passage out = passage(first, *second_peer, second, *first_peer);
  const Passage back = passage(second, *first_peer, first, *second_peer);
  if (out.frames == 0 || back.frames == 0) return std::nullopt;
  Offset offset;
  offset.shift = difference(back.shortest, out.shortest) / 2;
  offset.error = std::max<Nanoseconds>(sum(out.shortest, back.shortest), 0) / 2;
  offset.out = out.frames;
  offset.back = back.frames;
  return offset;
}

Timeline make_timeline(std::vector<Recording> recordings) {
  keep_last_of_each_engine(recordings);
  Timeline timeline;
  for (Recording& recording : recordings) {
    timeline.tracks.push_back({std::move(recording), 0, ""});
  }
  std::vector<Track>& tracks = timeline.tracks;
  std::vector<bool> placed(tracks.size(), false);
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    if (placed[i]) continue;
    const Recording& first = tracks[0].recording;
    const Recording& recording = tracks[i].recording;
    tracks[i].clock = "the one that all times here are of";
    if (i > 0) {
      // wall = wall_clock + (time - taken_at), of both.
      tracks[i].shift = sum(difference(recording.wall_clock, recording.taken_at),
                            difference(first.taken_at, first.wall_clock));
      tracks[i].clock =
          fmt::format("{:+.6f} s to that of {}, from the wall clocks: no control frames in common",
                      static_cast<double>(tracks[i].shift) / 1e9, printable(first.name));
    }
    placed[i] = true;
    place_by_frames(tracks, placed);
  }
  bool any = false;
  for (const Track& track : tracks) {
    if (track.recording.events.empty()) continue;
    const Nanoseconds oldest = sum(track.recording.events.front().time, track.shift);
    timeline.begin = any ? std::min(timeline.begin, oldest) : oldest;
    any = true;
  }
  return timeline;
}

std::string label_of(const Recording& recording, std::uint32_t peer) {
  for (const RecordedPeer& one : recording.peers) {
    if (static_cast<std::uint32_t>(one.id) == peer) return printable(one.label);
  }
  return fmt::format("peer {}", peer);
}

}  // namespace sluice::report
