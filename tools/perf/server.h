// The server's end of `sluice perf`: serves one client after the other, those that wait in the
// order in which they asked. A client, hostile or dead, costs bounded memory and time, and no later
// client its turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "sluice/options.h"
#include "tools/perf/exchange.h"
#include "tools/perf/hub.h"
#include "tools/perf/link.h"
#include "tools/perf/room.h"

namespace sluice::perf {

struct ServerOptions {
  Options engine;
  Threading threading = Threading::kCaller;
  ProgressThread* present = nullptr;  // The engine, if it is there already; outlives the server.
  double cpu_share = 1;               // Of this process's CPU time, what is told as this engine's.
  Memory memory = Memory::kHost;
  // Of free memory, a client's messages get part of no more than this (bytes).
  std::uint64_t most_memory = UINT64_MAX;
  std::chrono::milliseconds patience{10'000};  // For a client's first message.
  std::function<bool()> interrupted{};
  std::function<void(const std::string&)> say{};  // A line for people.
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> create(ServerOptions options);
  // As Engine::address().
  [[nodiscard]] std::string address();

  // Serves until interrupted, which is OK.
  Status serve();
  // Serves one client that asks for its turn, and tells how that ended.
  Status serve_one();

 private:
  using Clock = std::chrono::steady_clock;
  struct Guest {
    std::unique_ptr<Link> link;
    Clock::time_point deadline;  // To ask for its turn.
    bool asked = false;
  };
  struct Tally {
    std::uint64_t runs = 0;
    double bytes = 0;
  };

  explicit Server(ServerOptions options) : options_(std::move(options)) {}
  // The next client whose turn it is; nullptr when interrupted.
  std::unique_ptr<Link> next_client();
  void admit_strangers();
  void look_after(Guest& guest);
  Status session(Link& link);
  Status serve_runs(Link& link, Tally& tally);
  Status serve_run(Link& link, const Run& run);
  Status serve_one_sided(Link& link);

  ServerOptions options_;
  std::unique_ptr<Hub> hub_;
  std::list<Guest> guests_;  // Connected, and not yet or no longer served; in order of coming.
  std::unique_ptr<Room> room_;
};

}  // namespace sluice::perf
