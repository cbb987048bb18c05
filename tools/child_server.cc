#include "tools/child_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "src/base/fd.h"
#include "tools/perf/memory.h"

namespace sluice::tools {
namespace {

constexpr int kAnnounceFd = 3;  // In the child.

std::vector<std::string> arguments_for(const InForce& in_force, const EndOptions& options) {
  std::vector<std::string> arguments{"sluice", "perf", "server", "--announce-fd",
                                     std::to_string(kAnnounceFd)};
  const auto set = [&](std::string assignment) {
    arguments.insert(arguments.end(), {"--set", std::move(assignment)});
  };
  set("listen_host=127.0.0.1");
  set("listen_port=0");
  set("allow_anyone=0");
  for (std::string& assignment : in_force.overrides()) set(std::move(assignment));
  // Without a device the server would only repeat what the client says.
  if (options.gpu >= 0 && perf::choose_memory(options.gpu).kind == Memory::kCuda) {
    arguments.insert(arguments.end(), {"--gpu", std::to_string(options.gpu)});
  }
  if (options.progress_thread) arguments.emplace_back("--progress-thread");
  return arguments;
}

Result<pid_t> spawn(std::vector<std::string> arguments, int announce) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, announce, kAnnounceFd);
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Status::from_errno(error, "cannot start the server");
  return child;
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
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Status::from_errno(errno, "cannot make a pipe");
  const Fd reading(ends[0]);
  Fd writing(ends[1]);
  // An inherited descriptor must not be closed on exec: dup2 to itself would leave it so.
  if (writing.get() == kAnnounceFd) writing = Fd(::fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
  const Result<pid_t> child = spawn(arguments_for(in_force, options), writing.get());
  if (!child.ok()) return child.status();
  std::unique_ptr<ChildServer> server(new ChildServer(*child));
  writing.reset();
  server->address_ = read_line(reading.get());
  if (server->address_.empty()) {
    return Status(StatusCode::kUnavailable, "the server on loopback did not start");
  }
  return server;
}

ChildServer::~ChildServer() {
  ::kill(child_, SIGTERM);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (::waitpid(child_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) ::kill(child_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace sluice::tools
