// One host's part in a mesh: a server for each of its engines, and a measurement for each Task.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "src/orchestrator/engine_place.h"
#include "tools/in_force.h"
#include "tools/mesh/messages.h"
#include "tools/perf/crew.h"
#include "tools/perf/plan.h"
#include "tools/perf/server.h"

namespace sluice::mesh {

struct WorkerOptions {
  tools::InForce in_force;
  std::vector<EnginePlace> places;
  std::vector<std::string> hosts;           // By rank: where the addresses of others are reached.
  std::chrono::milliseconds limit{60'000};  // For one measurement.
};

class Worker {
 public:
  // Starts the servers, with a thread and a secret each, on ports that the system chooses.
  static Result<std::unique_ptr<Worker>> create(WorkerOptions options);
  ~Worker();  // Ends what still runs.
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  [[nodiscard]] const std::vector<EngineInfo>& engines() const { return engines_; }
  // Measures on a thread of its own, from now on.
  void start(const Task& task);
  // Of those that have ended since.
  std::vector<Outcome> take_outcomes();

 private:
  struct Measurement {
    Task task;
    Outcome outcome;
    std::unique_ptr<perf::Crew> crew;  // Of one, which writes outcome.
  };

  Worker(WorkerOptions options, perf::Plan plan)
      : options_(std::move(options)), plan_(std::move(plan)) {}
  Status start_servers();
  Status measure(const Task& task, Outcome& outcome);

  const WorkerOptions options_;
  const perf::Plan plan_;
  std::atomic<bool> stopping_{false};
  std::vector<EngineInfo> engines_;
  std::vector<std::unique_ptr<perf::Server>> servers_;
  std::unique_ptr<perf::Crew> serving_;
  std::vector<std::unique_ptr<Measurement>> running_;
};

}  // namespace sluice::mesh
