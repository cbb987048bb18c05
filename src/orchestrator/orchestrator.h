// Many engines in one process, one per GPU: each near its NIC, on a progress thread of its own or
// all of them on one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "sluice/progress_thread.h"
#include "src/orchestrator/engine_place.h"

namespace sluice {

enum class Threads : std::uint8_t {
  kOwn,  // A progress thread per engine, on the cores of its place.
  kOne,  // One thread for all: where cores are few, or must be left to others.
};

// Any thread may use it, as it may use each ProgressThread. Ends every engine when destroyed.
class Orchestrator {
 public:
  // An engine per place with the settings options_at(base, place, index). What goes wrong is told
  // with the name of the place; what was started by then is ended again.
  static Result<std::unique_ptr<Orchestrator>> start(const Options& base,
                                                     std::vector<EnginePlace> places,
                                                     Threads threads);

  [[nodiscard]] std::size_t size() const { return engines_.size(); }
  [[nodiscard]] const EnginePlace& place(std::size_t index) const { return places_[index]; }
  [[nodiscard]] ProgressThread& engine(std::size_t index) { return *engines_[index]; }

 private:
  explicit Orchestrator(std::vector<EnginePlace> places) : places_(std::move(places)) {}

  std::vector<EnginePlace> places_;
  std::vector<std::unique_ptr<ProgressThread>> engines_;
};

}  // namespace sluice
