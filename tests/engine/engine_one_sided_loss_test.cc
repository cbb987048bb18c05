// One-sided transfers whose other end is killed in their middle: this end hears it, nothing is
// written where nothing was asked for, and a new start of the other end works.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/one_sided_fixture.h"

namespace sluice {
namespace {

constexpr std::size_t kGuard = 4096;
constexpr std::size_t kBytes = 1 << 20;  // Of one transfer.
constexpr std::size_t kPlaces = 64;      // Of a target: several windows full.
constexpr std::size_t kFew = 4;          // Of an initiator, to write, and as many to read.
constexpr std::byte kUntouched{0x5a};

// Runs in a process of its own until it is killed.
class OtherProcess {
 public:
  explicit OtherProcess(const std::function<void()>& body) : pid_(fork()) {
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    _exit(1);
  }
  ~OtherProcess() { end(); }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  void end() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_;
};

// A target in another process: tells its address and its export, and then drives its engine.
class OtherTarget {
 public:
  explicit OtherTarget(const Options& options) {
    EXPECT_EQ(pipe(pipe_), 0);
    process_.emplace([&] {
      auto engine = Engine::create(options).take();
      std::vector<std::byte> memory(kPlaces * kBytes);
      const RegionId region = *engine->register_memory(memory.data(), memory.size(), Memory::kHost);
      tell(engine->address());
      tell(*engine->export_region(region, Access::kReadWrite));
      while (true) {
        if (engine->progress() == 0) engine->wait(std::chrono::milliseconds(1));
      }
    });
    ::close(pipe_[1]);
    address = hear();
    exported = hear();
    ::close(pipe_[0]);
  }
  void end() { process_->end(); }

  std::string address;
  std::string exported;

 private:
  void tell(const std::string& text) const {
    const std::uint32_t bytes = static_cast<std::uint32_t>(text.size());
    if (write(pipe_[1], &bytes, sizeof(bytes)) != sizeof(bytes) ||
        write(pipe_[1], text.data(), bytes) != static_cast<ssize_t>(bytes)) {
      _exit(2);
    }
  }
  [[nodiscard]] std::string hear() const {
    std::uint32_t bytes = 0;
    EXPECT_EQ(read(pipe_[0], &bytes, sizeof(bytes)), static_cast<ssize_t>(sizeof(bytes)));
    std::string text(bytes, '\0');
    EXPECT_EQ(read(pipe_[0], text.data(), bytes), static_cast<ssize_t>(bytes));
    return text;
  }

  int pipe_[2] = {-1, -1};
  std::optional<OtherProcess> process_;
};

Options both_know() {
  Options options = loopback_options();
  options.token = "both know";
  return options;
}

TEST(OneSidedLoss, ATargetThatIsKilledFailsWhatIsAskedOfItAndItsNewStartWorks) {
  Host here(both_know());
  std::vector<std::byte> memory(2 * kGuard + kPlaces * kBytes, kUntouched);
  const RegionId region = here.add(memory);
  std::string stale;
  for (const bool writes : {true, false}) {
    OtherTarget target(both_know());
    const PeerId peer = *here.engine->connect(target.address);
    if (!stale.empty()) {
      const auto old = here.engine->import_region(peer, stale);
      ASSERT_TRUE(old.ok());
      const auto id = here.engine->read(peer, std::vector{Slice{region, kGuard, 10}},
                                        std::vector{RemoteSlice{*old, 0, 10}});
      ASSERT_TRUE(drive({&here}, [&] { return here.finished(*id); }));
      EXPECT_EQ(here.done.at(*id).status.code(), StatusCode::kNotFound);
    }
    stale = target.exported;
    const RemoteRegionId remote = *here.engine->import_region(peer, target.exported);
    std::vector<TransferId> ids;
    for (std::size_t i = 0; i < kPlaces; ++i) {
      const std::size_t at = i * kBytes;
      const std::vector<Slice> local{{region, kGuard + at, kBytes / 2},
                                     {region, kGuard + at + kBytes / 2, kBytes / 2}};
      const std::vector<RemoteSlice> there{{remote, at, kBytes}};
      const auto id = writes ? here.engine->write(peer, local, there, telling("landed"))
                             : here.engine->read(peer, local, there, {});
      ASSERT_TRUE(id.ok()) << id.status().to_string();
      ids.push_back(*id);
    }
    ASSERT_TRUE(drive({&here}, [&] { return here.finished(ids.front()); }));
    EXPECT_TRUE(here.done.at(ids.front()).status.ok());
    target.end();
    ASSERT_TRUE(drive({&here}, [&] {
      return std::ranges::all_of(ids, [&](TransferId id) { return here.finished(id); });
    }));
    const Status& status = here.done.at(ids.back()).status;
    EXPECT_EQ(status.code(), StatusCode::kPeerLost) << status.to_string();
    for (const TransferId id : ids) {
      const StatusCode code = here.done.at(id).status.code();
      EXPECT_TRUE(code == StatusCode::kOk || code == StatusCode::kPeerLost);
    }
  }
  const auto untouched = [](std::byte b) { return b == kUntouched; };
  EXPECT_TRUE(std::all_of(memory.begin(), memory.begin() + kGuard, untouched));
  EXPECT_TRUE(std::all_of(memory.end() - kGuard, memory.end(), untouched));
  ASSERT_TRUE(drive({&here}, [&] { return here.engine->deregister(region).ok(); }));
}

// What an initiator asks for without end: never two at a time of the same memory.
void write_and_read(const std::string& address, const std::string& exported) {
  Host other(both_know());
  const PeerId peer = *other.engine->connect(address);
  const RemoteRegionId remote = *other.engine->import_region(peer, exported);
  std::vector<std::byte> memory(2 * kFew * kBytes, std::byte{1});
  const RegionId region = other.add(memory);
  while (true) {
    std::vector<TransferId> ids;
    for (std::size_t i = 0; i < kFew; ++i) {
      const std::size_t out = i * kBytes;
      const std::size_t in = (kFew + i) * kBytes;
      ids.push_back(*other.engine->write(peer, std::vector{Slice{region, out, kBytes}},
                                         std::vector{RemoteSlice{remote, kGuard + out, kBytes}},
                                         telling("landed")));
      ids.push_back(*other.engine->read(peer, std::vector{Slice{region, in, kBytes}},
                                        std::vector{RemoteSlice{remote, kGuard + in, kBytes}}, {}));
    }
    drive({&other}, [&] {
      return std::ranges::all_of(ids, [&](TransferId id) { return other.finished(id); });
    });
  }
}

TEST(OneSidedLoss, AnInitiatorThatIsKilledLeavesTheRestOfTheMemoryAndItsNewStartWorks) {
  Host here(both_know());
  std::vector<std::byte> memory(2 * kGuard + 2 * kFew * kBytes, kUntouched);
  const RegionId region = here.add(memory);
  const std::string exported = *here.engine->export_region(region, Access::kReadWrite);
  for (std::size_t start = 1; start <= 2; ++start) {
    here.hear();  // What the one before has told.
    here.heard.clear();
    OtherProcess other([&] { write_and_read(here.engine->address(), exported); });
    ASSERT_TRUE(drive({&here}, [&] { return here.hear() >= 3; }));
    EXPECT_EQ(memory[kGuard], std::byte{1});
    other.end();
    const auto lost = [&] {
      return static_cast<std::size_t>(
          std::ranges::count(here.events, PeerEventKind::kLost, &PeerEvent::kind));
    };
    ASSERT_TRUE(drive({&here}, [&] { return lost() == start; }));
    EXPECT_EQ(here.events.back().status.code(), StatusCode::kPeerLost)
        << here.events.back().status.to_string();
    std::ranges::fill(std::span(memory).subspan(kGuard, 2 * kFew * kBytes), kUntouched);
    for (int pass = 0; pass < 100; ++pass) here.pass();
    const auto untouched = [](std::byte b) { return b == kUntouched; };
    EXPECT_TRUE(std::ranges::all_of(memory, untouched));
  }
  EXPECT_TRUE(here.engine->deregister(region).ok());
}

}  // namespace
}  // namespace sluice
