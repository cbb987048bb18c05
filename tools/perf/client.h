// The client's end of `sluice perf`: connects to a server and measures one row after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sluice/options.h"
#include "tools/perf/ensemble.h"
#include "tools/perf/exchange.h"
#include "tools/perf/hub.h"
#include "tools/perf/link.h"
#include "tools/perf/plan.h"
#include "tools/perf/result.h"
#include "tools/perf/room.h"

namespace sluice::perf {

struct ClientOptions {
  Options engine;
  Threading threading = Threading::kCaller;
  ProgressThread* present = nullptr;  // The engine, if it is there already; outlives the client.
  double cpu_share = 1;               // Of this process's CPU time, what is told as this engine's.
  Ensemble* ensemble = nullptr;       // With whom to measure at the same time.
  std::uint32_t member = 0;           // Of the ensemble.
  std::string name{};                 // ResultRow::engine
  Memory memory = Memory::kHost;
  std::string address{};  // The server's, as Engine::connect() takes it.
  std::string server{};   // For people: "server 10.0.0.2:20000".
  std::function<bool()> interrupted{};
  std::function<void()> on_busy_server{};  // Called once if it lets us wait.
};

// What a client asks of its engine: `options` without listening where others could find it.
[[nodiscard]] Options client_engine_options(Options options);

class Client {
 public:
  // Returns once it is our turn at the server.
  static Result<std::unique_ptr<Client>> connect(ClientOptions options);
  // Both phases of one size. `on_phase` is called at the start of each.
  Result<ResultRow> measure(std::uint64_t size, const Plan& plan,
                            const std::function<void(Phase)>& on_phase);

 private:
  struct RunOutcome;
  struct PhaseOutcome;

  explicit Client(ClientOptions options);
  Status start();
  Status wait_for_welcome();
  Result<PhaseOutcome> measure_phase(Phase phase, std::uint64_t size, const Plan& plan);
  Result<RunOutcome> run(const Run& run, bool together);
  Result<RunOutcome> run_agreed(const Run& run, bool together);
  Result<RunOutcome> run_one_sided(const Run& run, const Ready& ready, bool together);
  Result<std::uint64_t> meet(std::uint64_t value);
  // The failure, with the server's name, once.
  [[nodiscard]] Status about_server(const Status& status) const;

  ClientOptions options_;
  std::uint32_t channels_ = 0;
  Blocks blocks_;  // Of what is measured.
  std::uint64_t seed_;
  std::unique_ptr<Hub> hub_;
  std::unique_ptr<Room> room_;
  std::unique_ptr<Link> link_;
};

}  // namespace sluice::perf
