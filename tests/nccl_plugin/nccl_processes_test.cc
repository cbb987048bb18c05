// Two ranks in two processes: messages both ways, and what is left of one when the other dies.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "src/base/fd.h"
#include "tests/nccl_plugin/nccl_fixture.h"

namespace sluice::nccl_test {
namespace {

constexpr std::size_t kMessage = 1 << 20;

// One rank's two comms.
struct Ends {
  void* out = nullptr;
  void* in = nullptr;
};

class NcclProcessesTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Api> api;
  std::unique_ptr<Rank> rank;
  pid_t child = -1;

  // The handles cross a pair of pipes, as NCCL's cross its bootstrap.
  static void exchange(int in, int out, const Handle& own, Handle& others) {
    ASSERT_EQ(::write(out, own.data(), own.size()), static_cast<ssize_t>(own.size()));
    ASSERT_EQ(::read(in, others.data(), others.size()), static_cast<ssize_t>(others.size()));
  }

  Ends connect(int in, int out) {
    api = Api::open(GetParam());
    rank = std::make_unique<Rank>(*api);
    EXPECT_EQ(rank->init(), ResultCode::kSuccess);
    Handle others{};
    exchange(in, out, rank->listen(), others);
    ResultCode code{};
    Ends ends;
    ends.out = rank->connect(others, code);
    ends.in = rank->accept(code);
    EXPECT_NE(ends.out, nullptr);
    EXPECT_NE(ends.in, nullptr);
    rank->close_listen();
    return ends;
  }

  // Forks first: neither process has threads then.
  Ends start(const std::function<void(Ends)>& other_rank) {
    int down[2];
    int up[2];
    EXPECT_EQ(::pipe(down), 0);
    EXPECT_EQ(::pipe(up), 0);
    child = ::fork();
    if (child == 0) {
      other_rank(connect(down[0], up[1]));
      ::_exit(HasFailure() ? 1 : 0);
    }
    const Ends ends = connect(up[0], down[1]);
    for (const int fd : {down[0], down[1], up[0], up[1]}) ::close(fd);
    return ends;
  }

  ResultCode send(void* comm, Bytes& bytes) {
    void* request = nullptr;
    const ResultCode code =
        api->isend(comm, bytes.data(), bytes.size(), nullptr, nullptr, &request);
    int size = 0;
    return code != ResultCode::kSuccess ? code : finish(*api, request, &size);
  }
  ResultCode receive(void* comm, Bytes& bytes) {
    void* data = bytes.data();
    std::size_t size = bytes.size();
    void* none = nullptr;
    void* request = nullptr;
    const ResultCode code = api->irecv(comm, 1, &data, &size, &none, &none, &request);
    int moved = 0;
    return code != ResultCode::kSuccess ? code : finish(*api, request, &moved);
  }
  void close(const Ends& ends) {
    api->close_send(ends.out);
    api->close_recv(ends.in);
  }
};

INSTANTIATE_TEST_SUITE_P(Version, NcclProcessesTest, ::testing::ValuesIn(tables_from(kOldest)));

TEST_P(NcclProcessesTest, MessagesGoBothWays) {
  const auto run = [this](Ends ends, std::uint64_t own, std::uint64_t others) {
    for (std::uint64_t i = 0; i < 50; ++i) {
      Bytes from = pattern(i % 3 == 0 ? 100 : kMessage, own + i);
      Bytes into(from.size());
      if (own < others) {
        EXPECT_EQ(send(ends.out, from), ResultCode::kSuccess);
        EXPECT_EQ(receive(ends.in, into), ResultCode::kSuccess);
      } else {
        EXPECT_EQ(receive(ends.in, into), ResultCode::kSuccess);
        EXPECT_EQ(send(ends.out, from), ResultCode::kSuccess);
      }
      EXPECT_TRUE(same_bytes(into, pattern(from.size(), others + i)));
    }
    close(ends);
  };
  const Ends ends = start([&](Ends theirs) { run(theirs, 1000, 0); });
  run(ends, 0, 1000);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_P(NcclProcessesTest, WhoSendsToADeadRankIsTold) {
  const Ends ends = start([](Ends) { ::pause(); });
  Bytes from = pattern(64 << 20, 1);  // More than the kernel takes from us for nobody.
  void* request = nullptr;
  ASSERT_EQ(api->isend(ends.out, from.data(), from.size(), nullptr, nullptr, &request),
            ResultCode::kSuccess);
  ::kill(child, SIGKILL);
  int size = 0;
  EXPECT_EQ(finish(*api, request, &size), ResultCode::kRemoteError);
  ::waitpid(child, nullptr, 0);
  close(ends);
}

TEST_P(NcclProcessesTest, WhoWaitsForADeadRankIsTold) {
  // Dies with a message half sent, and with one not begun.
  const Ends ends = start([this](Ends theirs) {
    Bytes from = pattern(64 << 20, 1);
    void* request = nullptr;
    api->isend(theirs.out, from.data(), from.size(), nullptr, nullptr, &request);
    ::pause();
  });
  Bytes half(64 << 20);
  Bytes small(10);
  void* none = nullptr;
  void* requests[2] = {};
  void* datas[2] = {half.data(), small.data()};
  std::size_t sizes[2] = {half.size(), small.size()};
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(api->irecv(ends.in, 1, &datas[i], &sizes[i], &none, &none, &requests[i]),
              ResultCode::kSuccess);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  int size = 0;
  EXPECT_EQ(finish(*api, requests[1], &size), ResultCode::kRemoteError);
  close(ends);
}

}  // namespace
}  // namespace sluice::nccl_test
