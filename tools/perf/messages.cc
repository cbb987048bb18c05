#include "tools/perf/messages.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/perf/fields.h"

namespace sluice::perf {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestSent = 300;  // Bytes that are no UTF-8 become three each.
constexpr std::uint64_t kMostChannels = 64;

std::string cut(std::string_view text) { return printable(text.substr(0, kLongestSent)); }

Json to_json(const Start&) { return {{"message", "start"}, {"version", kVersion}}; }
Json to_json(const Welcome& welcome) {
  return {{"message", "welcome"},
          {"version", kVersion},
          {"channels", welcome.channels},
          {"memory", cut(welcome.memory)}};
}
Json to_json(const Run& run) {
  return {{"message", "run"},
          {"op", cut(run.op)},
          {"phase", run.phase == Phase::kBandwidth ? "bandwidth" : "latency"},
          {"size", run.size},
          {"count", run.count},
          {"checked", run.checked},
          {"depth", run.depth},
          {"both_directions", run.both_directions},
          {"seed", run.seed},
          {"beside", run.beside}};
}
Json to_json(const Ready& ready) {
  Json json{{"message", "ready"}};
  if (!ready.region.empty()) json["region"] = ready.region;
  if (ready.slots > 0) json["slots"] = ready.slots;
  return json;
}
Json to_json(const Finish&) { return {{"message", "finish"}}; }
Json to_json(const Done& done) {
  return {{"message", "done"},
          {"cpu_seconds", done.cpu_seconds},
          {"checked", done.checked},
          {"difference", cut(done.difference)}};
}
Json to_json(const Refusal& refusal) { return {{"message", "refusal"}, {"why", cut(refusal.why)}}; }

Message read_welcome(Fields& fields) {
  fields.number("version", kVersion, kVersion);
  Welcome welcome;
  welcome.channels = static_cast<std::uint32_t>(fields.number("channels", 1, kMostChannels));
  welcome.memory = fields.text("memory");
  return welcome;
}

Message read_run(Fields& fields) {
  Run run;
  run.op = fields.text("op");
  if (run.op != "send" && run.op != "write" && run.op != "read") fields.fail("op");
  run.phase =
      fields.is_first("phase", "bandwidth", "latency") ? Phase::kBandwidth : Phase::kLatency;
  run.size = fields.number("size", 0, kLargestMessage);
  run.count = fields.number("count", 1, kMostMessages);
  run.checked = fields.number("checked", 0, run.count);
  run.depth = static_cast<std::uint32_t>(fields.number("depth", 1, kMostDepth));
  run.both_directions = fields.truth("both_directions");
  run.seed = fields.number("seed", 0, UINT64_MAX);
  run.beside = fields.number("beside", 0, kLargestMessage);
  return run;
}

Message read_ready(Fields& fields) {
  Ready ready;
  ready.region = fields.optional_text("region");
  ready.slots = fields.optional_number("slots", 1, UINT64_MAX, 0);
  return ready;
}

Message read_done(Fields& fields) {
  Done done;
  done.cpu_seconds = fields.positive("cpu_seconds");
  done.checked = fields.number("checked", 0, kMostMessages);
  done.difference = fields.text("difference");
  return done;
}

Message read_message(Fields& fields) {
  const std::string kind = fields.text("message");
  if (kind == "start") {
    fields.number("version", kVersion, kVersion);
    return Start{};
  }
  if (kind == "welcome") return read_welcome(fields);
  if (kind == "run") return read_run(fields);
  if (kind == "ready") return read_ready(fields);
  if (kind == "finish") return Finish{};
  if (kind == "done") return read_done(fields);
  if (kind != "refusal") fields.fail("message");
  return Refusal{fields.text("why")};
}

}  // namespace

std::string encode(const Message& message) {
  const Json object = std::visit([](const auto& kind) { return to_json(kind); }, message);
  // Bytes that are no UTF-8 become U+FFFD instead of an exception.
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Message> decode(std::string_view bytes) {
  const auto refuse = [](std::string_view why) {
    return Status(StatusCode::kProtocol, fmt::format("not a message of sluice perf: {}", why));
  };
  if (bytes.size() > kMessageBytes) return refuse("too long");
  const Json object = Json::parse(bytes, nullptr, false);
  if (!object.is_object()) return refuse("not a JSON object");
  Fields fields(object);
  Message message = read_message(fields);
  if (!fields.failure().empty()) return refuse(fields.failure());
  return message;
}

}  // namespace sluice::perf
