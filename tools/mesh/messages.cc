#include "tools/mesh/messages.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/mesh/hosts.h"
#include "tools/perf/fields.h"

namespace sluice::mesh {
namespace {

using Json = nlohmann::json;
using perf::Fields;

constexpr std::size_t kLongestName = 64;  // Bytes that are sent: those that are no UTF-8 become
constexpr std::size_t kLongestWhy = 300;  // three each.
constexpr std::size_t kLongestAddress = 512;
static_assert(kMostEngines * (6 * kLongestName + kLongestAddress + 64) < kMessageBytes);

std::string cut(std::string_view text, std::size_t longest) {
  return perf::printable(text.substr(0, longest));
}

Json to_json(const Join& join) {
  Json engines = Json::array();
  for (const EngineInfo& one : join.engines) {
    engines.push_back({{"name", cut(one.name, kLongestName)},
                       {"nic", cut(one.nic, kLongestName)},
                       {"address", one.address}});
  }
  return {{"message", "join"},
          {"version", kVersion},
          {"rank", join.rank},
          {"hosts", join.hosts},
          {"engines", std::move(engines)}};
}
Json to_json(const Task& task) {
  return {{"message", "task"},
          {"id", task.id},
          {"engine", task.engine},
          {"to", task.to},
          {"address", task.address}};
}
Json to_json(const Outcome& outcome) {
  return {{"message", "outcome"},
          {"id", outcome.id},
          {"gbytes_per_s", outcome.gbytes_per_s},
          {"p50_us", outcome.p50_us},
          {"p99_us", outcome.p99_us},
          {"why", cut(outcome.why, kLongestWhy)}};
}
Json to_json(const End&) { return {{"message", "end"}}; }
Json to_json(const Refusal& refusal) {
  return {{"message", "refusal"}, {"why", cut(refusal.why, kLongestWhy)}};
}

std::string address_of(Fields& fields) {
  std::string address = fields.text("address");
  if (address.empty() || address.size() > kLongestAddress) fields.fail("address");
  return address;
}

Message read_join(const Json& object, Fields& fields) {
  fields.number("version", kVersion, kVersion);
  Join join;
  join.hosts = static_cast<std::uint32_t>(fields.number("hosts", 2, kMostHosts));
  join.rank = static_cast<std::uint32_t>(fields.number("rank", 0, join.hosts - 1));
  const auto engines = object.find("engines");
  const bool list = engines != object.end() && engines->is_array() && !engines->empty() &&
                    engines->size() <= kMostEngines;
  if (!list) return fields.fail("engines"), join;
  for (const Json& one : *engines) {
    if (!one.is_object()) return fields.fail("engines"), join;
    Fields engine(one);
    EngineInfo info;
    info.name = engine.text("name");
    info.nic = engine.text("nic");
    info.address = address_of(engine);
    if (!engine.failure().empty()) return fields.fail("engines"), join;
    join.engines.push_back(std::move(info));
  }
  return join;
}

Message read_message(const Json& object, Fields& fields) {
  const std::string kind = fields.text("message");
  if (kind == "join") return read_join(object, fields);
  if (kind == "task") {
    Task task;
    task.id = static_cast<std::uint32_t>(fields.number("id", 0, UINT32_MAX));
    task.engine = static_cast<std::uint32_t>(fields.number("engine", 0, kMostEngines - 1));
    task.to = static_cast<std::uint32_t>(fields.number("to", 0, kMostHosts - 1));
    task.address = address_of(fields);
    return task;
  }
  if (kind == "outcome") {
    Outcome outcome;
    outcome.id = static_cast<std::uint32_t>(fields.number("id", 0, UINT32_MAX));
    outcome.gbytes_per_s = fields.positive("gbytes_per_s");
    outcome.p50_us = fields.positive("p50_us");
    outcome.p99_us = fields.positive("p99_us");
    outcome.why = fields.text("why");
    return outcome;
  }
  if (kind == "end") return End{};
  if (kind != "refusal") fields.fail("message");
  return Refusal{fields.text("why")};
}

}  // namespace

std::string encode(const Message& message) {
  const Json object = std::visit([](const auto& kind) { return to_json(kind); }, message);
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Message> decode(std::string_view bytes) {
  const auto refuse = [](std::string_view why) {
    return Status(StatusCode::kProtocol, fmt::format("not a message of sluice mesh: {}", why));
  };
  if (bytes.size() > kMessageBytes) return refuse("too long");
  const Json object = Json::parse(bytes, nullptr, false);
  if (!object.is_object()) return refuse("not a JSON object");
  Fields fields(object);
  Message message = read_message(object, fields);
  if (!fields.failure().empty()) return refuse(fields.failure());
  return message;
}

}  // namespace sluice::mesh
