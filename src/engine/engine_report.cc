// What an engine tells of itself when asked, or when something stands still.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>

#include "src/base/log.h"
#include "src/engine/engine_impl.h"
#include "src/engine/report.h"
#include "src/observe/recording.h"

namespace sluice {
namespace {

// In recorder_dir, of one engine: peers that come and go for ever must not fill a disk.
constexpr std::uint32_t kMostRecordings = 16;

// What a file may be called.
std::string file_name_of(std::string_view name) {
  std::string result(name.substr(0, 64));
  for (char& c : result) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && c != '-' && c != '.') c = '_';
  }
  return result;
}

}  // namespace

PeerFacts EngineImpl::facts_of(const Peer& peer, Nanoseconds now) {
  PeerFacts facts = peer.facts(now);
  transfers_.for_each([&](std::uint64_t /*id*/, const Transfer& transfer) {
    if (transfer.peer != PeerId(peer.id()) || transfer.complete) return;
    if (serves(transfer.direction)) {
      ++facts.served;
    } else if (transfer.layout != nullptr) {
      ++facts.one_sided;
    } else if (transfer.direction == Direction::kSend) {
      ++facts.sends;
    } else {
      ++facts.recvs;
      if (transfer.chunk_bytes == 0) ++facts.unannounced;
    }
  });
  return facts;
}

std::string EngineImpl::report() {
  const Nanoseconds now = clock_->now();
  recorder_.at(now);
  std::vector<PeerFacts> peers;
  for (const Live& live : live_) peers.push_back(facts_of(*live.peer, now));
  return report_text(name_, peers) + keep_recording("report");
}

Status EngineImpl::record_to(const std::string& path) { return record(path, "asked for"); }

Status EngineImpl::record(const std::string& path, std::string_view reason) {
  if (!recorder_.on()) {
    return {StatusCode::kInvalidArgument, "recorder_events is 0: nothing is recorded"};
  }
  recorder_.at(clock_->now());
  Recording recording;
  recording.generation = own_limits_.generation;
  recording.taken_at = recorder_.time();
  recording.wall_clock = std::chrono::duration_cast<std::chrono::nanoseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count();
  recording.recorded = recorder_.recorded();
  recording.window = context_.window;
  recording.name = name_;
  recording.net = net_->name();
  recording.reason = reason;
  recording.peers = recorder_.peers();
  recording.events = recorder_.events();
  return write_recording(path, recording);
}

// Returns a line that says where it is, or ""; nobody is stopped by a disk that is full.
std::string EngineImpl::keep_recording(std::string_view reason) {
  if (options_.recorder_dir.empty() || !recorder_.on() || recordings_ == kMostRecordings) return "";
  const std::string path =
      fmt::format("{}/{}-{:08x}-{}-{}.recording", options_.recorder_dir, file_name_of(name_),
                  static_cast<std::uint32_t>(own_limits_.generation), ++recordings_, reason);
  if (Status status = record(path, reason); !status.ok()) {
    SLUICE_LOG(kWarning, "recorder", "{}", status.to_string());
    return "";
  }
  SLUICE_LOG(kInfo, "recorder", "{} wrote {}", name_, path);
  return fmt::format("  recorded in {}\n", path);
}

void EngineImpl::look_for_stalls(Nanoseconds now) {
  if (options_.stall_report_ms == 0 || live_.empty()) return;
  const Nanoseconds limit = from_ms(options_.stall_report_ms);
  next_time_ = std::min(next_time_, now + limit / 2);
  for (Peer* peer : awake_) {
    if (!peer->stalls(now, limit)) continue;
    const std::string text = report_text(name_, {facts_of(*peer, now)}) + keep_recording("stall");
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t end = rest.find('\n');
      SLUICE_LOG(kWarning, "stall", "{}", rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
  }
}

}  // namespace sluice
