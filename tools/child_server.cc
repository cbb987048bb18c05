#include "tools/child_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "src/base/fd.h"
#include "tools/child_process.h"

namespace sluice::tools {
namespace {

constexpr int kAnnounceFd = 3;  // In the child.

std::vector<std::string> arguments_for(const InForce& in_force, std::vector<std::string> command) {
  std::vector<std::string> arguments{"sluice"};
  arguments.insert(arguments.end(), command.begin(), command.end());
  arguments.insert(arguments.end(), {"--announce-fd", std::to_string(kAnnounceFd)});
  const auto set = [&](std::string assignment) {
    arguments.insert(arguments.end(), {"--set", std::move(assignment)});
  };
  set("listen_host=127.0.0.1");
  set("listen_port=0");
  set("allow_anyone=0");
  for (std::string& assignment : in_force.overrides()) set(std::move(assignment));
  return arguments;
}

// The line that the child writes, without its end; "" if the child ends before.
std::string read_line(int fd) {
  std::string line;
  char c = 0;
  while (true) {
    const ssize_t count = ::read(fd, &c, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return "";
    if (c == '\n') return line;
    line += c;
  }
}

}  // namespace

Result<std::unique_ptr<ChildServer>> ChildServer::start(const InForce& in_force,
                                                        const EndOptions& options) {
  std::vector<std::string> command{"perf", "server"};
  if (options.gpu >= 0) {
    command.insert(command.end(), {"--gpu", std::to_string(options.gpu)});
  }
  if (options.progress_thread) command.emplace_back("--progress-thread");
  if (!options.cores.empty()) command.insert(command.end(), {"--cores", options.cores});
  return start(in_force, std::move(command), 1);
}

Result<std::unique_ptr<ChildServer>> ChildServer::start(const InForce& in_force,
                                                        std::vector<std::string> command,
                                                        std::size_t addresses) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Status::from_errno(errno, "cannot make a pipe");
  const Fd reading(ends[0]);
  Fd writing(ends[1]);
  const Result<pid_t> child =
      spawn_self(arguments_for(in_force, std::move(command)), writing.get(), kAnnounceFd);
  if (!child.ok()) return child.status();
  std::unique_ptr<ChildServer> server(new ChildServer(*child));
  writing.reset();
  for (std::size_t i = 0; i < addresses; ++i) {
    server->addresses_.push_back(read_line(reading.get()));
    if (server->addresses_.back().empty()) {
      return Status(StatusCode::kUnavailable, "the server on loopback did not start");
    }
  }
  return server;
}

ChildServer::~ChildServer() { end_process(child_); }

}  // namespace sluice::tools
