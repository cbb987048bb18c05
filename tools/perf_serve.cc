#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "src/base/cores.h"
#include "tools/perf/memory.h"
#include "tools/perf/server.h"
#include "tools/perf_common.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

// The client decides how many channels it uses; a server that was not told otherwise is no limit.
constexpr std::uint32_t kMostChannels = 64;

void say_hello(const Options& engine, Memory memory) {
  print(fmt::format("sluice perf server: port {} on {}, net {}, at most {} channels, {} memory",
                    engine.listen_port,
                    engine.listen_host.empty() ? "all interfaces" : engine.listen_host, engine.net,
                    engine.channels, perf::to_string(memory)));
  warn_without_token(engine);
}

}  // namespace

Options server_options(Options engine, const InForce& in_force, bool announced) {
  if (engine.channels == 0) engine.channels = kMostChannels;
  if (!announced) {
    engine.listen_port = in_force.perf().perf_port;
    if (engine.token.empty()) engine.allow_anyone = 1;
  }
  return engine;
}

Status announce(int fd, const std::string& lines) {
  const ssize_t written = ::write(fd, lines.data(), lines.size());
  ::close(fd);
  if (written == static_cast<ssize_t>(lines.size())) return {};
  return {StatusCode::kSystem, "whoever started this server does not listen for its address"};
}

void warn_without_token(const Options& engine) {
  if (engine.allow_anyone == 0) return;
  std::fprintf(stderr, "no token is set: anyone who reaches port %u may connect\n",
               static_cast<unsigned>(engine.listen_port));
}

int serve(const InForce& in_force, const ServeOptions& options) {
  if (const Status status = prepare_end(options.end); !status.ok()) return usage(status);
  const Result<Memory> found = memory_of(options.end);
  if (!found.ok()) return usage(found.status());
  const Memory memory = *found;
  const bool quiet = options.announce_fd >= 0;
  const Options engine =
      server_options(engine_options(in_force, options.end, memory), in_force, quiet);
  if (const Status status = validate(engine); !status.ok()) return usage(status);
  auto server = perf::Server::create({.engine = engine,
                                      .threading = threading_of(options.end),
                                      .memory = memory,
                                      .interrupted = stop_requested,
                                      .say = [quiet](const std::string& line) {
                                        if (!quiet) print(line);
                                      }});
  if (!server.ok()) return exit_status(server.status());
  if (quiet) {
    const Status status = announce(options.announce_fd, (*server)->address() + "\n");
    if (!status.ok()) return exit_status(status);
  } else {
    say_hello(engine, memory);
  }
  if (!options.once) return exit_status((*server)->serve());
  const Status status = (*server)->serve_one();
  // To be stopped while waiting is how a server ends.
  return stop_requested() ? kDone : exit_status(status);
}

}  // namespace sluice::tools
