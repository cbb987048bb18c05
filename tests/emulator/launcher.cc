// sluice-tcpx-emulator: sets up what the TCPX plugin needs, runs a command under it, cleans up.
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "tests/emulator/gpu_pool.h"
#include "tests/emulator/launcher_options.h"
#include "tests/emulator/page_table.h"
#include "tests/emulator/rxdm.h"

namespace sluice::emulator {
namespace {

constexpr int kSetUpFailed = 125;
constexpr int kNoCommand = 127;
constexpr int kSignalBase = 128;

// A folder for rxdm's sockets, gone with this object.
class Folder {
 public:
  Folder() {
    // Short: a socket's whole path has 107 characters.
    char name[] = "/tmp/sluice-tcpx-emulator-XXXXXX";
    if (::mkdtemp(name) != nullptr) path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    if (!path_.empty()) ::rmdir(path_.c_str());
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void put_first(const char* variable, const std::string& path) {
  const std::string before = environment_of(variable);
  ::setenv(variable, (before.empty() ? path : path + ":" + before).c_str(), 1);
}

void set_environment(const LauncherOptions& options, const std::string& folder, const GpuPool& pool,
                     bool cuda) {
  const std::filesystem::path root =
      std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  put_first("LD_PRELOAD", root / "lib/libsluice-tcpx-emulator.so");
  if (!cuda) put_first("LD_LIBRARY_PATH", root / "lib/emulator-stubs");
  ::setenv(kFolderVariable, folder.c_str(), 1);
  ::setenv(kGpuVariable, pool.gpu.c_str(), 1);
  ::setenv(kDeviceVariable, cuda ? "cuda" : "host", 1);
  for (const SettingEntry& entry : setting_entries()) {
    ::setenv(entry.environment, std::to_string(options.settings.*entry.value).c_str(), 1);
  }
  ::setenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", folder.c_str(), 1);
  // These can be chosen otherwise.
  ::setenv("NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", "lo", 0);
  ::setenv("NCCL_GPUDIRECTTCPX_SOCKET_FAMILY", "AF_INET", 0);
  ::setenv("NCCL_GPUDIRECTTCPX_PROGRAM_FLOW_STEERING_WAIT_MICROS", "50000", 0);
  ::setenv("NCCL_DYNAMIC_CHUNK_SIZE", "524288", 0);
}

// The signals that the launcher waits for; all others it leaves alone.
sigset_t awaited_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, signal);
  return set;
}

[[noreturn]] void become(const std::vector<std::string>& command, const sigset_t& signals) {
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // Without its rxdm the command could only hang.
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  fmt::print(stderr, "sluice-tcpx-emulator: {}: {}\n", command[0], std::strerror(errno));
  ::_exit(kNoCommand);
}

// Hands signals on to `child` until it has ended. Returns the exit status to end with.
int wait_for(pid_t child, const sigset_t& awaited) {
  while (true) {
    int signal = 0;
    if (::sigwait(&awaited, &signal) != 0) continue;
    if (signal != SIGCHLD) {
      ::kill(child, signal);
      continue;
    }
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) != child) continue;
    return WIFSIGNALED(status) ? kSignalBase + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

Status write_report(const std::string& file, const PageCounts& counts) {
  std::ofstream out(file);
  out << fmt::format(
      "{{\"pages\": {}, \"in_use\": {}, \"most_in_use\": {}, \"taken\": {}, \"returned\": {}, "
      "\"lost\": {}, \"wrong_returns\": {}}}\n",
      counts.pages, counts.in_use, counts.most_in_use, counts.taken, counts.returned, counts.lost,
      counts.wrong_returns);
  out.close();
  return out ? Status() : Status::from_errno(errno, file);
}

Result<GpuPool> make_pool(const LauncherOptions& options, bool* cuda) {
  const std::uint64_t bytes = options.settings.pool_pages * kPageBytes;
  *cuda = options.device != DeviceKind::kHost;
  if (*cuda) {
    Result<GpuPool> pool = make_cuda_pool(options.gpu, bytes);
    if (pool.ok() || options.device == DeviceKind::kCuda) return pool;
    *cuda = false;
  }
  return make_host_pool(bytes);
}

Result<int> run(const LauncherOptions& options) {
  const sigset_t awaited = awaited_signals();
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &awaited, &before);  // First: all threads are to have it so.
  const Folder folder;
  if (folder.path().empty()) return Status::from_errno(errno, "a folder in /tmp");
  bool cuda = false;
  const Result<GpuPool> pool = make_pool(options, &cuda);
  if (!pool.ok()) return pool.status();
  PageTable pages = PageTable::create(options.settings.pool_pages);
  if (!pages.valid()) return Status::from_errno(errno, "the pool's page table");
  const auto rxdm = Rxdm::start(
      {folder.path(), pool->gpu, pool->memory.get(), pool->bytes, pool->alignment, pages.fd()});
  if (!rxdm.ok()) return rxdm.status();
  set_environment(options, folder.path(), *pool, cuda);
  const pid_t child = ::fork();
  if (child < 0) return Status::from_errno(errno, "fork");
  if (child == 0) become(options.command, before);
  const int result = wait_for(child, awaited);
  if (!options.report.empty()) {
    pages.free_dead();
    if (Status status = write_report(options.report, pages.counts()); !status.ok()) return status;
  }
  return result;
}

int main_of(int argc, char** argv) {
  const auto fail = [](std::string_view why) {
    fmt::print(stderr, "sluice-tcpx-emulator: {}\n", why);
    return kSetUpFailed;
  };
  Settings defaults;
  if (const std::string wrong = read_environment(defaults); !wrong.empty()) return fail(wrong);
  const std::vector<const char*> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  const Result<LauncherOptions> options = parse_options(arguments, defaults);
  if (!options.ok()) return fail(options.status().message());
  if (options->help) {
    fmt::print("{}", help_text());
    return 0;
  }
  const Result<int> result = run(*options);
  return result.ok() ? *result : fail(result.status().message());
}

}  // namespace
}  // namespace sluice::emulator

int main(int argc, char** argv) { return sluice::emulator::main_of(argc, argv); }
