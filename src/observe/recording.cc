#include "src/observe/recording.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "src/base/bytes.h"
#include "src/base/check.h"
#include "src/base/fd.h"

namespace sluice {
namespace {

constexpr std::size_t kFixedBytes = 8 + 2 + 2 + 4 + 4 * 8 + 4 + 4;
constexpr std::size_t kEventBytes = 32;
// A file that is longer is no recording.
constexpr std::size_t kLongestFile = kFixedBytes + 3 * (2 + Recording::kLongestText) +
                                     Recorder::kMostPeers * (16 + 2 + Recording::kLongestText) +
                                     Recording::kMostEvents * kEventBytes;

std::string_view cut(const std::string& text) {
  return std::string_view(text).substr(0, Recording::kLongestText);
}

Status bad(std::string_view what) {
  return {StatusCode::kProtocol, fmt::format("not a recording: {}", what)};
}

void encode_event(const Event& event, ByteWriter& out) {
  out.u64(static_cast<std::uint64_t>(event.time));
  out.u64(event.transfer);
  out.u32(event.number);
  out.u32(event.bytes);
  out.u32(event.peer);
  out.u16(event.channel);
  out.u8(static_cast<std::uint8_t>(event.kind));
  out.u8(event.detail);
}

Event decode_event(ByteReader& in) {
  Event event{};
  event.time = static_cast<Nanoseconds>(in.u64());
  event.transfer = in.u64();
  event.number = in.u32();
  event.bytes = in.u32();
  event.peer = in.u32();
  event.channel = in.u16();
  event.kind = static_cast<EventKind>(in.u8());
  event.detail = in.u8();
  return event;
}

Status write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Status::from_errno(errno, fmt::format("writing {}", path));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

std::vector<std::byte> encode(const Recording& recording) {
  std::size_t size = kFixedBytes + recording.events.size() * kEventBytes;
  for (const std::string* text : {&recording.name, &recording.net, &recording.reason}) {
    size += 2 + cut(*text).size();
  }
  for (const RecordedPeer& peer : recording.peers) size += 16 + 2 + cut(peer.label).size();
  std::vector<std::byte> bytes(size);
  ByteWriter out(bytes);
  out.u64(Recording::kMagic);
  out.u16(Recording::kVersion);
  out.u16(kEventBytes);
  out.u32(recording.window);
  out.u64(recording.generation);
  out.u64(static_cast<std::uint64_t>(recording.taken_at));
  out.u64(static_cast<std::uint64_t>(recording.wall_clock));
  out.u64(recording.recorded);
  out.u32(static_cast<std::uint32_t>(recording.peers.size()));
  out.u32(static_cast<std::uint32_t>(recording.events.size()));
  out.text(cut(recording.name));
  out.text(cut(recording.net));
  out.text(cut(recording.reason));
  for (const RecordedPeer& peer : recording.peers) {
    out.u64(peer.id);
    out.u64(peer.generation);
    out.text(cut(peer.label));
  }
  for (const Event& event : recording.events) encode_event(event, out);
  SLUICE_CHECK(out.ok() && out.written() == size, "{} of {}", out.written(), size);
  return bytes;
}

Result<Recording> decode_recording(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  Recording recording;
  if (in.u64() != Recording::kMagic) return bad("it does not begin with SLUREC");
  const std::uint16_t version = in.u16();
  const std::uint16_t event_bytes = in.u16();
  if (!in.ok() || version != Recording::kVersion || event_bytes != kEventBytes) {
    return bad(fmt::format("version {} with events of {} bytes, known is version {} with {}",
                           version, event_bytes, Recording::kVersion, kEventBytes));
  }
  recording.window = in.u32();
  recording.generation = in.u64();
  recording.taken_at = static_cast<Nanoseconds>(in.u64());
  recording.wall_clock = static_cast<std::int64_t>(in.u64());
  recording.recorded = in.u64();
  const std::uint32_t peers = in.u32();
  const std::uint32_t events = in.u32();
  if (!in.ok() || peers > Recorder::kMostPeers || events > recording.recorded ||
      events > in.remaining() / kEventBytes) {
    return bad(fmt::format("it claims {} peers and {} of {} events in {} bytes", peers, events,
                           recording.recorded, bytes.size()));
  }
  // So that differences of times are times too.
  constexpr std::int64_t kLatest = std::int64_t{1} << 62;
  if (recording.taken_at < 0 || recording.taken_at > kLatest || recording.wall_clock < 0 ||
      recording.wall_clock > kLatest) {
    return bad(fmt::format("taken at {} of the engine's clock, {} of the host's",
                           recording.taken_at, recording.wall_clock));
  }
  recording.name = in.text(Recording::kLongestText);
  recording.net = in.text(Recording::kLongestText);
  recording.reason = in.text(Recording::kLongestText);
  for (std::uint32_t i = 0; i < peers && in.ok(); ++i) {
    RecordedPeer& peer = recording.peers.emplace_back();
    peer.id = in.u64();
    peer.generation = in.u64();
    peer.label = in.text(Recording::kLongestText);
  }
  if (!in.ok() || in.remaining() != std::size_t{events} * kEventBytes) {
    return bad(fmt::format("{} bytes where {} events belong", in.remaining(), events));
  }
  recording.events.reserve(events);
  for (std::uint32_t i = 0; i < events; ++i) {
    const Event event = decode_event(in);
    if (to_string(event.kind).empty()) {
      return bad(fmt::format("event {} is of kind {}", i, static_cast<int>(event.kind)));
    }
    // A pass has one time, and passes come one after the other.
    const Nanoseconds earliest = recording.events.empty() ? 0 : recording.events.back().time;
    if (event.time < earliest || event.time > recording.taken_at) {
      return bad(fmt::format("event {} lies before the one ahead of it, or after the end", i));
    }
    recording.events.push_back(event);
  }
  return recording;
}

Status write_recording(const std::string& path, const Recording& recording) {
  const std::string partial = path + ".partial";
  const Fd file(::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) return Status::from_errno(errno, fmt::format("opening {}", partial));
  Status status = write_all(file.get(), encode(recording), partial);
  if (status.ok() && ::rename(partial.c_str(), path.c_str()) != 0) {
    status = Status::from_errno(errno, fmt::format("renaming {} to {}", partial, path));
  }
  if (!status.ok()) ::unlink(partial.c_str());
  return status;
}

Result<Recording> read_recording(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Status::from_errno(errno, fmt::format("opening {}", path));
  std::vector<std::byte> bytes;
  std::array<std::byte, 1 << 16> part;
  while (true) {
    const ssize_t count = ::read(file.get(), part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Status::from_errno(errno, fmt::format("reading {}", path));
    if (count == 0) break;
    bytes.insert(bytes.end(), part.begin(), part.begin() + count);
    if (bytes.size() > kLongestFile) return bad("it is too long").with_context(path);
  }
  Result<Recording> recording = decode_recording(bytes);
  return recording.ok() ? std::move(recording) : recording.status().with_context(path);
}

std::string_view to_string(EventKind kind) {
  switch (kind) {
    case EventKind::kPacking:
      return "Packing";
    case EventKind::kPosted:
      return "Posted";
    case EventKind::kArrived:
      return "Arrived";
    case EventKind::kUnpacking:
      return "Unpacking";
    case EventKind::kReleased:
      return "Released";
    case EventKind::kFailed:
      return "Failed";
    case EventKind::kBusy:
      return "Busy";
    case EventKind::kAborted:
      return "Aborted";
    case EventKind::kFrameOut:
      return "FrameOut";
    case EventKind::kFrameIn:
      return "FrameIn";
    case EventKind::kAsked:
      return "Asked";
    case EventKind::kCompleted:
      return "Completed";
    case EventKind::kPeerReady:
      return "PeerReady";
    case EventKind::kPeerLeaving:
      return "PeerLeaving";
    case EventKind::kPeerFailed:
      return "PeerFailed";
    case EventKind::kSlept:
      return "Slept";
  }
  return "";
}

}  // namespace sluice
