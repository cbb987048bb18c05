// Measuring with several engines at the same time, whoever drives them: the table, JSON and plot,
// per engine and in all.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/engine_choice.h"
#include "tools/perf/ensemble.h"
#include "tools/perf_common.h"

namespace sluice::tools {

struct ManyOptions {
  MeasureOptions measure;
  EngineChoice engines;
  std::string channels;  // "1,2,4": one measurement after the other; "" is the setting.
  std::string plot;      // SVG; "" for none
};
void add_many_options(CLI::App& app, SettingOptions& settings, ManyOptions& options);

// kInvalidArgument, or kSystem: what is asked for cannot be measured or written.
Status check_many(const InForce& in_force, const ManyOptions& options);

// The clients of one measurement, a member of the ensemble each.
class Members {
 public:
  virtual ~Members() = default;  // Ends what still runs.
  virtual bool ended() = 0;      // All of them, or one has failed; looks at once.
  // Waits for all. Not OK if one has failed, which has then been said or is said here.
  virtual Status outcome() = 0;
};
using StartMembers =
    std::function<Result<std::unique_ptr<Members>>(perf::Ensemble& ensemble, const InForce&)>;

// Starts members for each number of channels and shows what they measure. An exit status.
int measure_many(std::string_view command, const Target& target, const InForce& in_force,
                 const ManyOptions& options, const std::vector<EnginePlace>& places,
                 const StartMembers& start);

}  // namespace sluice::tools
