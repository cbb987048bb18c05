// What an engine costs while its peers have nothing to say, and how soon it answers one that then
// does: one process with the engine that is measured, one with as many engines as it has peers.
//
//   idle_peers --peers 100 --seconds 10
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/engine.h"
#include "sluice/progress_thread.h"

namespace {

using sluice::Completion;
using sluice::Engine;
using sluice::PeerEvent;
using sluice::PeerEventKind;
using sluice::PeerId;
using sluice::ProgressThread;
using sluice::RegionId;
using sluice::Slice;
using SteadyClock = std::chrono::steady_clock;

constexpr std::uint64_t kMessage = 8;
constexpr std::chrono::milliseconds kPatience{30'000};

[[noreturn]] void die(const sluice::Status& status) {
  std::fprintf(stderr, "idle_peers: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

template <typename T>
T must(sluice::Result<T> result) {
  if (!result.ok()) die(result.status());
  return result.take();
}

// CPU time of all threads of this process.
double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

sluice::Options options_of(bool listens) {
  sluice::Options options;
  options.listen_host = listens ? "127.0.0.1" : "";
  options.channels = 2;
  return options;
}

// Gives back every message to whoever it came from; says its CPU time when it is asked for it.
class Answering {
 public:
  Answering() : engine_(must(Engine::create(options_of(true)))) {
    region_ = must(engine_->register_memory(memory_.data(), memory_.size(), sluice::Memory::kHost));
  }

  [[nodiscard]] std::string address() const { return engine_->address(); }

  // Until the other process has closed `from`. A byte there is a question for the CPU time.
  void serve(int from, int to) {
    while (true) {
      engine_->wait(std::chrono::milliseconds(100));
      while (engine_->poll_peers(events_) != 0) greet(events_[0]);
      while (engine_->poll(completions_) != 0) turn(completions_[0]);
      std::uint8_t question = 0;
      const ssize_t got = ::read(from, &question, 1);
      if (got == 0) return;
      if (got < 0) continue;
      const double used = cpu_seconds();
      if (::write(to, &used, sizeof used) != sizeof used) return;
    }
  }

 private:
  Slice message() const { return {region_, 0, kMessage}; }

  void greet(const PeerEvent& event) {
    if (event.kind == PeerEventKind::kConnected) must(engine_->recv(event.peer, message()));
  }

  // Every other completion of a peer is that of an answer.
  void turn(const Completion& done) {
    if (!done.status.ok()) return;
    const auto at = std::find(answering_.begin(), answering_.end(), done.id);
    if (at != answering_.end()) {
      answering_.erase(at);
      return;
    }
    answering_.push_back(must(engine_->send(done.peer, message())));
    must(engine_->recv(done.peer, message()));
  }

  std::unique_ptr<Engine> engine_;
  std::array<std::byte, kMessage> memory_{};
  RegionId region_{};
  std::array<PeerEvent, 1> events_;
  std::array<Completion, 1> completions_;
  std::vector<sluice::TransferId> answering_;
};

// One of the peers.
class Asking {
 public:
  Asking(std::unique_ptr<ProgressThread> thread, const std::string& address)
      : thread_(std::move(thread)) {
    thread_->run([&](Engine& engine) {
      region_ = must(engine.register_memory(memory_.data(), memory_.size(), sluice::Memory::kHost));
      peer_ = must(engine.connect(address));
    });
    std::array<PeerEvent, 1> events;
    if (thread_->poll_peers(events, kPatience) == 0) die(late("connected"));
    if (events[0].kind != PeerEventKind::kConnected) die(events[0].status);
  }

  // Microseconds until the answer to a message is here.
  double ask() {
    const auto start = SteadyClock::now();
    thread_->run([&](Engine& engine) {
      must(engine.recv(peer_, {region_, 0, kMessage}));
      must(engine.send(peer_, {region_, kMessage, kMessage}));
    });
    std::array<Completion, 1> done;
    for (int completed = 0; completed < 2; ++completed) {
      if (thread_->poll(done, kPatience) == 0) die(late("answered"));
      if (!done[0].status.ok()) die(done[0].status);
    }
    return std::chrono::duration<double, std::micro>(SteadyClock::now() - start).count();
  }

 private:
  static sluice::Status late(const char* what) {
    return {sluice::StatusCode::kTimedOut, std::string("not ") + what + " in 30 s"};
  }

  std::unique_ptr<ProgressThread> thread_;
  std::array<std::byte, 2 * kMessage> memory_{};
  RegionId region_{};
  PeerId peer_{};
};

double ask_cpu(int to, int from) {
  double used = 0;
  if (::write(to, "?", 1) != 1 || ::read(from, &used, sizeof used) != sizeof used) std::exit(1);
  return used;
}

int measure(const std::string& address, std::uint64_t peers, std::uint64_t seconds, int to,
            int from) {
  std::vector<std::unique_ptr<Asking>> asking;
  for (std::uint64_t k = 0; k < peers; ++k) {
    auto engine = must(Engine::create(options_of(false)));
    asking.push_back(
        std::make_unique<Asking>(must(ProgressThread::start(std::move(engine))), address));
  }
  std::vector<double> answers;
  // Each for the first time, after a pause in which all fell asleep.
  ::sleep(1);
  for (const auto& one : asking) {
    ::usleep(20'000);
    answers.push_back(one->ask());
  }
  std::sort(answers.begin(), answers.end());
  const double before = ask_cpu(to, from);
  const auto start = SteadyClock::now();
  ::sleep(static_cast<unsigned>(seconds));
  const double used = ask_cpu(to, from) - before;
  const double elapsed = std::chrono::duration<double>(SteadyClock::now() - start).count();
  std::printf("%zu idle peers for %.0f s: %.3f %% of a core\n", asking.size(), elapsed,
              100 * used / elapsed);
  std::printf(
      "asked by each in turn while idle: answer after p50 %.0f us, p99 %.0f us, at most "
      "%.0f us\n",
      answers[answers.size() / 2], answers[answers.size() * 99 / 100], answers.back());
  return 0;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t peers = 100;
  std::uint64_t seconds = 10;
  for (int k = 1; k < argc; k += 2) {
    const std::string_view name = argv[k];
    const auto value = k + 1 < argc ? number(argv[k + 1]) : std::nullopt;
    if (!value.has_value() || (name != "--peers" && name != "--seconds")) {
      std::fprintf(stderr, "usage: idle_peers [--peers N] [--seconds N]\n");
      return 2;
    }
    (name == "--peers" ? peers : seconds) = *value;
  }
  int there[2];
  int back[2];
  if (::pipe2(there, O_CLOEXEC) != 0 || ::pipe2(back, O_CLOEXEC) != 0) return 1;
  Answering answering;
  const std::string address = answering.address();
  const pid_t child = ::fork();
  if (child < 0) return 1;
  if (child == 0) {
    ::close(there[0]);
    ::close(back[1]);
    const int status = measure(address, peers, seconds, there[1], back[0]);
    std::fflush(nullptr);
    ::_exit(status);
  }
  ::close(there[1]);
  ::close(back[0]);
  ::fcntl(there[0], F_SETFL, O_NONBLOCK);
  answering.serve(there[0], back[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
