#include "src/orchestrator/orchestrator.h"

#include <algorithm>
#include <string>
#include <utility>

namespace sluice {
namespace {

// The cores that all places name; "" if they differ: one thread cannot be near several NICs.
std::string common_cores(const std::vector<EnginePlace>& places) {
  const std::string& first = places.front().cores;
  const auto same = [&](const EnginePlace& place) { return place.cores == first; };
  return std::all_of(places.begin(), places.end(), same) ? first : "";
}

}  // namespace

Result<std::unique_ptr<Orchestrator>> Orchestrator::start(const Options& base,
                                                          std::vector<EnginePlace> places,
                                                          Threads threads) {
  if (places.empty()) {
    return Status(StatusCode::kInvalidArgument, "an orchestrator of no engines");
  }
  if (base.listen_port != 0 && base.listen_port + places.size() > 65536) {
    return Status(StatusCode::kInvalidArgument,
                  "listen_port: an engine each is one above the other, up to 65535");
  }
  std::unique_ptr<Orchestrator> orchestrator(new Orchestrator(std::move(places)));
  std::vector<std::unique_ptr<Engine>> engines;
  for (std::uint32_t i = 0; i < orchestrator->places_.size(); ++i) {
    const EnginePlace& place = orchestrator->places_[i];
    auto engine = Engine::create(options_at(base, place, i));
    if (!engine.ok()) return engine.status().with_context(place.name);
    engines.push_back(engine.take());
    if (threads == Threads::kOne) continue;
    auto thread = ProgressThread::start(std::move(engines.back()), place.cores);
    if (!thread.ok()) return thread.status().with_context(place.name);
    orchestrator->engines_.push_back(thread.take());
  }
  if (threads == Threads::kOne) {
    auto shared =
        ProgressThread::start_shared(std::move(engines), common_cores(orchestrator->places_));
    if (!shared.ok()) return shared.status();
    orchestrator->engines_ = shared.take();
  }
  return orchestrator;
}

}  // namespace sluice
