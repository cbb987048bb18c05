#include "tools/report/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "src/engine/bootstrap.h"
#include "tools/report/channel_flow.h"

namespace sluice::report {
namespace {

// Lines of an engine that are not its channels'.
constexpr int kEngineLine = 1;
constexpr int kFrameLine = 2;

// As docs/wire.md numbers them.
std::string name_of_frame(std::uint8_t type) {
  constexpr std::array<const char*, 21> kNames = {
      "Credit",  "Small",    "Manifest", "TooLong", "ChannelsWanted", "ChannelsOffered", "Ping",
      "Goodbye", "Request",  "Part",     "Granted", "Denied",         "Landed",          "Answer",
      "Got",     "Released", "Abort",    "Aborted", "ChannelsLost",   "Missing",         "Sum"};
  constexpr std::uint8_t kFirst = 16;
  if (type >= kFirst && type < kFirst + kNames.size()) return kNames[type - kFirst];
  return fmt::format("frame {}", type);
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class Trace {
 public:
  explicit Trace(const Timeline& timeline) : timeline_(timeline) {}

  std::string json() {
    for (const Track& track : timeline_.tracks) {
      track_ = &track;
      ++process_;
      name_line("process_name", 0, track.recording.name);
      name_line("thread_name", kEngineLine, "engine");
      name_line("thread_name", kFrameLine, "control frames");
      channels();
      events();
    }
    return fmt::format("{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n{}\n]}}\n", out_);
  }

 private:
  // Microseconds since the beginning, as the format wants it.
  [[nodiscard]] double at(Nanoseconds time) const {
    return static_cast<double>(time + track_->shift - timeline_.begin) / 1e3;
  }

  // `rest` begins with a comma, or is empty.
  void add(const char* phase, const std::string& name, int line, double time,
           const std::string& rest) {
    if (!out_.empty()) out_ += ",\n";
    out_ += fmt::format("{{\"ph\":\"{}\",\"name\":{},\"pid\":{},\"tid\":{},\"ts\":{:.3f}{}}}",
                        phase, quoted(name), process_, line, time, rest);
  }
  void name_line(const char* what, int line, const std::string& name) {
    if (!out_.empty()) out_ += ",\n";
    out_ += fmt::format(
        "{{\"ph\":\"M\",\"name\":\"{}\",\"pid\":{},\"tid\":{},\"args\":{{\"name\":{}}}}}", what,
        process_, line, quoted(printable(name)));
  }
  // Something that overlaps others of its kind.
  void span(const char* category, const std::string& name, std::uint64_t id, Nanoseconds begin,
            Nanoseconds end, const std::string& args) {
    const std::string rest =
        fmt::format(",\"cat\":\"{}\",\"id\":\"{}-{}\"", category, process_, id);
    add("b", name, kEngineLine, at(begin), rest + ",\"args\":{" + args + "}");
    add("e", name, kEngineLine, at(end), rest);
  }

  // Chunks without a beginning or an end in the recording get its own.
  void channels() {
    const Recording& recording = track_->recording;
    const Nanoseconds begin = recording.events.empty() ? 0 : recording.events.front().time;
    std::uint64_t id = 0;
    for (const auto& [key, flow] : channel_flows(recording)) {
      const std::string name = fmt::format("{} channel {}, {}", key.sends ? "send" : "recv",
                                           key.channel, label_of(recording, key.peer));
      std::vector<std::pair<Nanoseconds, int>> steps;
      for (const auto& [number, chunk] : flow.chunks) {
        const Nanoseconds from = chunk.posted != 0 ? chunk.posted : begin;
        const Nanoseconds to = chunk.released != 0 ? chunk.released : recording.taken_at;
        span("chunk", name, ++id, from, to,
             fmt::format("\"chunk\":{},\"bytes\":{},\"transfer\":{},\"arrived_us\":{:.3f}", number,
                         chunk.bytes, chunk.transfer, chunk.arrived != 0 ? at(chunk.arrived) : -1));
        steps.emplace_back(from, 1);
        if (chunk.released != 0) steps.emplace_back(to, -1);
      }
      window(name, steps);
    }
  }

  void window(const std::string& name, std::vector<std::pair<Nanoseconds, int>>& steps) {
    std::stable_sort(steps.begin(), steps.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    int in_flight = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      in_flight += steps[i].second;
      if (i + 1 < steps.size() && steps[i + 1].first == steps[i].first) continue;
      add("C", "in flight: " + name, kEngineLine, at(steps[i].first),
          fmt::format(",\"args\":{{\"chunks\":{}}}", in_flight));
    }
  }

  void events() {
    std::map<std::uint64_t, Event> asked;
    std::uint64_t id = 0;
    for (const Event& event : track_->recording.events) {
      switch (event.kind) {
        case EventKind::kFrameOut:
        case EventKind::kFrameIn:
          add("i",
              name_of_frame(event.detail) + (event.kind == EventKind::kFrameIn ? " in" : " out"),
              kFrameLine, at(event.time),
              fmt::format(",\"s\":\"t\",\"args\":{{\"number\":{},\"peer\":{}}}", event.number,
                          quoted(label_of(track_->recording, event.peer))));
          break;
        case EventKind::kAsked:
          asked[event.transfer] = event;
          break;
        case EventKind::kCompleted:
          if (const auto found = asked.find(event.transfer); found != asked.end()) {
            transfer(found->second, ++id, event.time);
            asked.erase(found);
          }
          break;
        case EventKind::kPeerReady:
        case EventKind::kPeerLeaving:
        case EventKind::kPeerFailed:
        case EventKind::kAborted:
          add("i",
              fmt::format("{} {}", to_string(event.kind), label_of(track_->recording, event.peer)),
              kEngineLine, at(event.time), ",\"s\":\"p\"");
          break;
        case EventKind::kSlept:
          add("X", "asleep", kEngineLine, at(event.time),
              fmt::format(",\"dur\":{:.3f},\"args\":{{\"times\":{}}}",
                          static_cast<double>(event.transfer) / 1e3, event.number));
          break;
        default:
          break;
      }
    }
    for (const auto& [number, event] : asked) transfer(event, ++id, track_->recording.taken_at);
  }

  void transfer(const Event& asked, std::uint64_t id, Nanoseconds end) {
    span("transfer", asked.detail == kSends ? "send" : "receive", id, asked.time, end,
         fmt::format("\"transfer\":{},\"bytes\":{},\"peer\":{}", asked.transfer, length_of(asked),
                     quoted(label_of(track_->recording, asked.peer))));
  }

  const Timeline& timeline_;
  const Track* track_ = nullptr;
  int process_ = 0;
  std::string out_;
};

}  // namespace

std::string trace_json(const Timeline& timeline) { return Trace(timeline).json(); }

}  // namespace sluice::report
