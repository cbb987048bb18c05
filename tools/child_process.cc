#include "tools/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "src/base/fd.h"

namespace sluice::tools {
namespace {

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

Result<pid_t> spawn_self(std::vector<std::string> arguments, int fd, int as,
                         const std::vector<std::string>& environment) {
  // Of several values, the first one counts.
  std::vector<std::string> variables = environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    variables.emplace_back(*entry);
  }
  // An inherited descriptor must not be closed on exec: dup2 to itself would leave it so.
  const Fd inherited(::fcntl(fd, F_DUPFD_CLOEXEC, as + 1));
  if (!inherited.valid()) return Status::from_errno(errno, "a descriptor for a child");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, inherited.get(), as);
  pid_t child = 0;
  const int error = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr,
                                  pointers_to(arguments).data(), pointers_to(variables).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Status::from_errno(error, "cannot start a child");
  return child;
}

void end_process(pid_t child) {
  ::kill(child, SIGTERM);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (::waitpid(child, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) ::kill(child, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace sluice::tools
