#include "tools/perf/plot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>
#include <vector>

#include "src/base/fd.h"
#include "src/base/settings.h"
#include "tools/perf/report.h"

namespace sluice::perf {
namespace {

constexpr std::string_view kScript = ".gnuplot";

// Starts `gnuplot arguments...` with stdout and stderr going to `output`; returns its exit status,
// 127 when there is none.
Result<int> run(std::vector<std::string> arguments, int output) {
  arguments.insert(arguments.begin(), "gnuplot");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, "gnuplot", &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return 127;
  if (error != 0) return Status::from_errno(error, "cannot start gnuplot");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// A file without a name; gone when closed.
Fd temporary_file() { return Fd(::memfd_create("sluice-plot", MFD_CLOEXEC)); }

std::string content_of(int fd) {
  std::string text(4096, '\0');
  const ssize_t length = ::pread(fd, text.data(), text.size(), 0);
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// Runs gnuplot on the script.
Status run_gnuplot(const std::string& script) {
  const Fd output = temporary_file();
  const Fd input = temporary_file();
  if (!output.valid() || !input.valid()) return Status::from_errno(errno, "cannot make a file");
  const std::string path = fmt::format("/proc/{}/fd/{}", ::getpid(), input.get());
  if (Status status = write_file(path, script); !status.ok()) return status;
  const Result<int> exit_status = run({path}, output.get());
  if (!exit_status.ok()) return exit_status.status();
  const std::string complaint = content_of(output.get());
  if (*exit_status == 0) return {};
  return {StatusCode::kSystem,
          fmt::format("gnuplot failed with status {}: {}", *exit_status, complaint)};
}

}  // namespace

// In gnuplot's single quotes only a quote is special.
std::string gnuplot_text(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += '\'';
    result += c == '\n' ? ' ' : c;
  }
  return result + "'";
}

Plot bandwidth_plot(std::span<const ResultRow> rows, const std::string& title) {
  std::set<std::uint64_t> sizes;
  std::set<std::uint32_t> channels;
  for (const ResultRow& row : rows) {
    sizes.insert(row.size_bytes);
    channels.insert(row.channels);
  }
  std::string script = fmt::format(
      "set title {} noenhanced\nset key outside right top noenhanced\n"
      "set xlabel 'channels'\nset ylabel 'bandwidth, GB/s (1e9 bytes per second)'\n"
      "set yrange [0:*]\nset logscale x 2\nset grid\nset border 3\nset tics nomirror\n",
      gnuplot_text(title));
  std::string tics;
  for (const std::uint32_t count : channels) {
    tics += fmt::format("{}'{}' {}", tics.empty() ? "" : ", ", count, count);
  }
  script += fmt::format("set xtics ({})\nset xrange [{}:{}]\n", tics,
                        static_cast<double>(*channels.begin()) / 1.2,
                        static_cast<double>(*channels.rbegin()) * 1.2);
  std::string curves;
  std::size_t number = 0;
  for (const std::uint64_t size : sizes) {
    script += fmt::format("$size{} << end_of_data\n", number);
    for (const ResultRow& row : rows) {
      if (row.size_bytes == size) script += fmt::format("{} {}\n", row.channels, row.gbytes_per_s);
    }
    script += "end_of_data\n";
    curves += fmt::format("{}$size{} using 1:2 with linespoints linewidth 2 pointtype 7 title {}",
                          number == 0 ? "" : ", ", number, gnuplot_text(format_bytes(size)));
    ++number;
  }
  return {900, 560, script + "plot " + curves + "\n"};
}

Status can_draw(const std::string& path) {
  if (path.ends_with(kScript)) return {};
  const Fd output = temporary_file();
  const Result<int> exit_status = run({"--version"}, output.get());
  if (!exit_status.ok()) return exit_status.status();
  if (*exit_status == 0) return {};
  return {StatusCode::kNotFound,
          "the plot is drawn by gnuplot, which is not installed: install it (Debian: gnuplot-nox), "
          "have its commands written for a machine that has it, with --plot FILE.gnuplot, or leave "
          "the plot out (perf sweep: --plot none)"};
}

Status draw(const Plot& plot, const std::string& path) {
  const bool later = path.ends_with(kScript);
  const std::string svg = later ? std::filesystem::path(path).stem().string() + ".svg" : path;
  const std::string script = fmt::format(
      "set terminal svg size {},{} dynamic font 'sans-serif,14' background '#ffffff'\n"
      "set output {}\n{}",
      plot.width, plot.height, gnuplot_text(svg), plot.commands);
  return later ? write_file(path, script) : run_gnuplot(script);
}

}  // namespace sluice::perf
