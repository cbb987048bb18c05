// The two ends of a channel in two processes, as in life; and what happens when one of them dies.
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/check.h"
#include "src/base/fd.h"
#include "tests/contract/net_contract.h"

namespace sluice::contract {
namespace {

constexpr std::uint32_t kWindow = 3;

// One end: its Nets (of which it uses one) and the pipe to the other.
struct End {
  explicit End(const NetFactory& factory, Fd socket)
      : nets(factory.make()), pipe(std::move(socket)) {}

  [[nodiscard]] std::size_t longest() const {
    return std::min<std::size_t>(nets->sending().devices().front().largest_chunk, 1 << 20);
  }
  [[nodiscard]] Stream::SizeOf sizes() const {
    return [most = longest()](std::uint64_t k) {
      return k % 16 == 15 ? most - k % 7 : static_cast<std::size_t>(k * 4099 % 30'000);
    };
  }

  std::unique_ptr<NetUnderTest> nets;
  Noise noise;
  Fd pipe;
};

void tell_handle(const End& end, const Listener& listener) {
  const auto handle = listener.handle();
  SLUICE_CHECK(
      ::write(end.pipe.get(), handle.data(), handle.size()) == static_cast<ssize_t>(handle.size()),
      "{} bytes", handle.size());
}

std::unique_ptr<RecvChannel> accept(End& end) {
  auto listener = end.nets->receiving().listen(0, "127.0.0.1").take();
  tell_handle(end, *listener);
  std::unique_ptr<RecvChannel> channel;
  Status failure;
  const bool made =
      eventually([&] { end.nets->drive(); },
                 [&] { return listener->accept(channel, failure) != MakeAnswer::kNotYet; });
  SLUICE_CHECK(made && channel != nullptr, "{}", failure.to_string());
  return channel;
}

std::unique_ptr<SendChannel> connect(End& end) {
  std::array<std::byte, Net::kHandleBytes> handle;
  const ssize_t bytes = ::read(end.pipe.get(), handle.data(), handle.size());
  SLUICE_CHECK(bytes > 0, "{}", bytes);
  auto connector = end.nets->sending()
                       .connect(0, std::span(handle).first(static_cast<std::size_t>(bytes)))
                       .take();
  std::unique_ptr<SendChannel> channel;
  Status failure;
  const bool made =
      eventually([&] { end.nets->drive(); },
                 [&] { return connector->connect(channel, failure) != MakeAnswer::kNotYet; });
  SLUICE_CHECK(made && channel != nullptr, "{}", failure.to_string());
  return channel;
}

// Runs its half of a stream; "" if all went well.
std::string receive(End& end, std::uint64_t chunks) {
  Stream stream(*end.nets, end.noise, chunks, kWindow, end.longest(), end.sizes(), end.sizes());
  stream.receiver = accept(end);
  const bool finished = eventually([&] { end.nets->drive(); },
                                   [&] {
                                     stream.step_receiver();
                                     return stream.receiver_finished() || !stream.trouble().empty();
                                   });
  const char over = 1;
  (void)::send(end.pipe.get(), &over, 1, MSG_NOSIGNAL);  // It may be gone.
  return finished ? stream.trouble() : "stuck";
}

std::string send(End& end, std::uint64_t chunks) {
  Stream stream(*end.nets, end.noise, chunks, kWindow, end.longest(), end.sizes(), end.sizes());
  stream.sender = connect(end);
  const bool finished = eventually([&] { end.nets->drive(); },
                                   [&] {
                                     stream.step_sender();
                                     return stream.sender_finished() || !stream.trouble().empty();
                                   });
  // Closing takes what is on the way with it, over some Nets.
  char over = 0;
  const bool waits = finished && !end.nets->sending().devices().front().sent_survives_close;
  if (waits) SLUICE_CHECK(::read(end.pipe.get(), &over, 1) >= 0, "errno {}", errno);
  return finished ? stream.trouble() : "stuck";
}

class NetProcesses : public testing::TestWithParam<NetFactory> {
 protected:
  // Starts a process that runs `life` with its end, and gives us ours. Before any Net exists here,
  // because a Net may have threads.
  void start(const std::function<std::string(End&)>& life) {
    std::array<int, 2> fds{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()), 0);
    child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(fds[0]);
      std::string trouble;
      {
        End theirs(GetParam(), Fd(fds[1]));
        trouble = life(theirs);
      }
      if (!trouble.empty()) std::fprintf(stderr, "other end: %s\n", trouble.c_str());
      ::_exit(trouble.empty() ? 0 : 1);
    }
    ::close(fds[1]);
    end = std::make_unique<End>(GetParam(), Fd(fds[0]));
  }
  void kill() {
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    child = -1;
  }
  void TearDown() override {
    if (child <= 0) return;
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }

  pid_t child = -1;
  std::unique_ptr<End> end;
};

std::vector<NetFactory> nets_between_processes() {
  std::vector<NetFactory> all = tcp_nets();
  for (NetFactory& net : plugin_nets()) all.push_back(std::move(net));
  return all;
}

INSTANTIATE_TEST_SUITE_P(EveryRealNet, NetProcesses, testing::ValuesIn(nets_between_processes()),
                         name_of);

TEST_P(NetProcesses, AStreamToAnotherProcess) {
  start([](End& theirs) { return receive(theirs, 1000); });
  EXPECT_EQ(send(*end, 1000), "");
}

TEST_P(NetProcesses, AStreamFromAnotherProcess) {
  start([](End& theirs) { return send(theirs, 1000); });
  EXPECT_EQ(receive(*end, 1000), "");
}

TEST_P(NetProcesses, AReceiverThatIsKilled) {
  start([](End& theirs) { return receive(theirs, UINT64_MAX); });
  Stream stream(*end->nets, end->noise, UINT64_MAX, kWindow, end->longest(), end->sizes(),
                end->sizes());
  stream.sender = connect(*end);
  for (int steps = 0; steps < 500; end->nets->drive()) {
    steps += static_cast<int>(stream.step_sender());
    ASSERT_EQ(stream.trouble(), "");
  }
  kill();
  EXPECT_TRUE(eventually([&] { end->nets->drive(); },
                         [&] {
                           stream.step_sender();
                           return !stream.trouble().empty();
                         }))
      << "it does not notice";
  stream.sender->abort();
}

TEST_P(NetProcesses, ASenderThatIsKilled) {
  start([](End& theirs) { return send(theirs, UINT64_MAX); });
  Stream stream(*end->nets, end->noise, UINT64_MAX, kWindow, end->longest(), end->sizes(),
                end->sizes());
  stream.receiver = accept(*end);
  for (int steps = 0; steps < 500; end->nets->drive()) {
    steps += static_cast<int>(stream.step_receiver());
    ASSERT_EQ(stream.trouble(), "");
  }
  kill();
  EXPECT_TRUE(eventually([&] { end->nets->drive(); },
                         [&] {
                           stream.step_receiver();
                           return !stream.trouble().empty();
                         }))
      << "it does not notice";
  stream.receiver->abort();
}

// Everything that is posted when the other end dies is reported, and then its memory is left alone.
TEST_P(NetProcesses, NothingComesAfterTheEnd) {
  start([](End& theirs) { return send(theirs, UINT64_MAX); });
  const std::size_t longest = end->longest();
  std::vector<std::byte> into(kWindow * longest);
  auto memory = end->nets->receiving().register_memory(into, Memory::kHost).take();
  auto channel = accept(*end);
  for (std::uint32_t i = 0; i < kWindow; ++i) {
    ASSERT_EQ(channel->post(into.data() + i * longest, longest, *memory), PostAnswer::kPosted);
  }
  kill();
  bool failed = false;
  std::uint32_t posted = kWindow;
  for (std::uint64_t next = 0; posted > 0;) {
    const Taken taken = test_and_unpack(*channel, into.data(), longest);
    if (taken.answer == TestAnswer::kPending) {
      end->nets->drive();
      continue;
    }
    EXPECT_FALSE(failed && taken.answer == TestAnswer::kDone);
    failed = failed || taken.answer == TestAnswer::kFailed;
    --posted;
    const PostAnswer answer =
        failed ? PostAnswer::kFailed
               : channel->post(into.data() + next++ % kWindow * longest, longest, *memory);
    if (answer == PostAnswer::kPosted) ++posted;
  }
  EXPECT_TRUE(failed);
  EXPECT_EQ(channel->post(into.data(), 1, *memory), PostAnswer::kFailed);
  EXPECT_FALSE(channel->failure().ok());
  const std::vector<std::byte> before = into;
  ::usleep(20'000);
  EXPECT_EQ(into, before);
}

}  // namespace
}  // namespace sluice::contract
