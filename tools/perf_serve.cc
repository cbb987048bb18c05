#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "tools/perf/memory.h"
#include "tools/perf/server.h"
#include "tools/perf_common.h"
#include "tools/stop.h"

namespace sluice::tools {
namespace {

// The client decides how many channels it uses; a server that was not told otherwise is no limit.
constexpr std::uint32_t kMostChannels = 64;

Options server_options(const InForce& in_force, const ServeOptions& options, Memory memory) {
  Options engine = engine_options(in_force, options.end, memory);
  if (engine.channels == 0) engine.channels = kMostChannels;
  if (options.announce_fd < 0) {
    engine.listen_port = in_force.perf().perf_port;
    if (engine.token.empty()) engine.allow_anyone = 1;
  }
  return engine;
}

Status announce(int fd, const std::string& address) {
  const std::string line = address + "\n";
  const ssize_t written = ::write(fd, line.data(), line.size());
  ::close(fd);
  if (written == static_cast<ssize_t>(line.size())) return {};
  return {StatusCode::kSystem, "whoever started this server does not listen for its address"};
}

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void say_hello(const Options& engine, Memory memory) {
  say(fmt::format("sluice perf server: port {} on {}, net {}, at most {} channels, {} memory",
                  engine.listen_port,
                  engine.listen_host.empty() ? "all interfaces" : engine.listen_host, engine.net,
                  engine.channels, perf::to_string(memory)));
  if (engine.allow_anyone != 0) {
    std::fprintf(stderr, "no token is set: anyone who reaches port %u may connect\n",
                 static_cast<unsigned>(engine.listen_port));
  }
}

}  // namespace

int serve(const InForce& in_force, const ServeOptions& options) {
  const Memory memory = memory_of(options.end);
  const Options engine = server_options(in_force, options, memory);
  if (const Status status = validate(engine); !status.ok()) return usage(status);
  const bool quiet = options.announce_fd >= 0;
  auto server = perf::Server::create({.engine = engine,
                                      .threading = threading_of(options.end),
                                      .memory = memory,
                                      .interrupted = stop_requested,
                                      .say = [quiet](const std::string& line) {
                                        if (!quiet) say(line);
                                      }});
  if (!server.ok()) return exit_status(server.status());
  if (quiet) {
    const Status status = announce(options.announce_fd, (*server)->address());
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
