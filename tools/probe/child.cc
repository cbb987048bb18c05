#include "tools/probe/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "src/base/clock.h"
#include "src/base/fd.h"

namespace sluice::probe {
namespace {

constexpr std::size_t kLongestReport = 1 << 20;  // bytes; a plugin may write where it likes
constexpr int kLookMs = 50;                      // Between two looks whether the child lives.

// What has come of the child so far.
struct Heard {
  std::string bytes;
  std::string step = "starting";
  bool concluded = false;
  Finding finding;
};

void hear_line(std::string_view line, Heard& heard) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return;
  if (json.contains("step") && json["step"].is_string()) heard.step = json["step"];
  if (!json.contains("verdict") || !json["verdict"].is_number_unsigned()) return;
  const unsigned verdict = json["verdict"];
  if (verdict > static_cast<unsigned>(Verdict::kFail)) return;
  heard.concluded = true;
  heard.finding.verdict = static_cast<Verdict>(verdict);
  heard.finding.seen = json.value("seen", "");
  heard.finding.consequence = json.value("consequence", "");
  if (json.contains("facts")) heard.finding.facts = json["facts"];
}

// False: nobody writes any more.
bool hear(int fd, Heard& heard) {
  char buffer[4096];
  const ssize_t bytes = ::read(fd, buffer, sizeof(buffer));
  if (bytes < 0) return errno == EAGAIN || errno == EINTR;
  if (bytes == 0 || heard.bytes.size() > kLongestReport) return false;
  heard.bytes.append(buffer, static_cast<std::size_t>(bytes));
  for (std::size_t end; !heard.concluded && (end = heard.bytes.find('\n')) != std::string::npos;) {
    hear_line(std::string_view(heard.bytes).substr(0, end), heard);
    heard.bytes.erase(0, end + 1);
  }
  return true;
}

std::string end_of(int status) {
  if (WIFSIGNALED(status)) {
    const char* name = ::sigabbrev_np(WTERMSIG(status));
    return fmt::format("killed by SIG{}", name == nullptr ? "?" : name);
  }
  return fmt::format("the process ended with exit({})", WEXITSTATUS(status));
}

Finding unconcluded(const std::string& what, const std::string& step,
                    const std::string& consequence) {
  const bool tolerated = !consequence.empty();
  return {tolerated ? Verdict::kDeviation : Verdict::kFail,
          fmt::format("{} in: {}", what, step),
          tolerated ? consequence : "cannot be worked around: do not use this plugin",
          {}};
}

[[noreturn]] void be_child(int report, bool show_output,
                           const std::function<void(const Reporter&)>& run) {
  ::setpgid(0, 0);
  if (!show_output) {
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ::dup2(nowhere, STDOUT_FILENO);
    ::dup2(nowhere, STDERR_FILENO);
  }
  const Reporter reporter(report);
  run(reporter);
  reporter.conclude({Verdict::kFail, "the case came to no conclusion", "", {}});
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kDeviation:
      return "deviation";
    case Verdict::kFail:
      return "fail";
  }
  return "?";
}

void Reporter::write_line(const nlohmann::json& line) const {
  // Texts of plugins need not be UTF-8.
  const std::string text =
      line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Reporter::step(const std::string& what) const { write_line({{"step", what}}); }

void Reporter::conclude(const Finding& finding) const {
  write_line({{"verdict", static_cast<unsigned>(finding.verdict)},
              {"seen", finding.seen},
              {"consequence", finding.consequence},
              {"facts", finding.facts}});
  ::_exit(0);
}

Finding run_in_child(const ChildOptions& options, const Expectations& expectations,
                     const std::function<void(const Reporter&)>& run) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {Verdict::kFail, "no pipe", "", {}};
  const Fd report(ends[0]);
  Fd child_end(ends[1]);
  ::fcntl(report.get(), F_SETFL, O_NONBLOCK);
  const pid_t child = ::fork();
  if (child < 0) return {Verdict::kFail, fmt::format("fork: {}", std::strerror(errno)), "", {}};
  if (child == 0) be_child(child_end.get(), options.show_output, run);
  ::setpgid(child, child);  // Here too, so that it is one before anybody kills it.
  child_end.reset();

  const SystemClock clock;
  const Nanoseconds end =
      clock.now() + from_ms(static_cast<std::int64_t>(options.deadline_s * 1e3));
  Heard heard;
  int status = 0;
  bool ended = false;
  bool late = false;
  while (!heard.concluded && !ended && !late) {
    pollfd entry{report.get(), POLLIN, 0};
    ::poll(&entry, 1, kLookMs);
    // Before it is asked for its end, so that its last words are not lost.
    ended = ::waitpid(child, &status, WNOHANG) == child;
    while (!heard.concluded && ::poll(&entry, 1, 0) == 1 && hear(report.get(), heard)) {
    }
    late = clock.now() > end;
  }
  ::kill(-child, SIGKILL);
  if (!ended) ::waitpid(child, &status, 0);
  if (heard.concluded) return heard.finding;
  if (ended) return unconcluded(end_of(status), heard.step, expectations.if_it_ends);
  return unconcluded(fmt::format("did not come back within {} s", options.deadline_s), heard.step,
                     expectations.if_it_hangs);
}

}  // namespace sluice::probe
