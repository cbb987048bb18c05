// The behaviours of TCPX that do go wrong, by themselves or because the environment asks for it.
#include <csignal>

#include "tests/tcpx_standin/tcpx_fixture.h"

namespace sluice::standin {
namespace {

constexpr std::size_t kChunk = 524'288;

// A pair with memory of both ends, and one message after the other.
struct Traffic {
  Pair pair;
  Pages from{kChunk};
  Pages into{kChunk};
  void* send_memory = pair.reg(pair.send_comm, from);
  void* receive_memory = pair.reg(pair.recv_comm, into);

  void* post_send(std::size_t bytes) {
    void* request = nullptr;
    EXPECT_EQ(pair.send(from, bytes, &request, send_memory), ResultCode::kSuccess);
    return request;
  }
  void* post_receive(std::size_t bytes) {
    void* request = nullptr;
    EXPECT_EQ(pair.receive(into, bytes, &request, receive_memory), ResultCode::kSuccess);
    return request;
  }
  void* exchange(std::size_t bytes) {
    void* received = post_receive(bytes);
    EXPECT_TRUE(pair.finish(post_send(bytes), received));
    return received;
  }
};

using TcpxFailureTest = TcpxTest;

TEST_F(TcpxFailureTest, WithoutAChunkSizeOnlyMessagesOfNoBytesMove) {
  const Variable unset("NCCL_DYNAMIC_CHUNK_SIZE", "0");
  Traffic traffic;
  EXPECT_EQ(traffic.pair.consume(traffic.exchange(0)), ResultCode::kSuccess);
  void* received = traffic.post_receive(1);
  void* sent = traffic.post_send(1);
  EXPECT_TRUE(never([&] { return traffic.pair.test(sent) || traffic.pair.test(received); }));
}

TEST_F(TcpxFailureTest, ARequestOfSeveralChunksLosesPagesUntilTheClose) {
  const Variable small("NCCL_DYNAMIC_CHUNK_SIZE", "65536");
  Traffic traffic;
  EXPECT_EQ(traffic.pair.consume(traffic.exchange(65'536)), ResultCode::kSuccess);
  EXPECT_EQ(count().pages_lost, 0u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(traffic.pair.consume(traffic.exchange(kChunk)), ResultCode::kSuccess);
  }
  EXPECT_GT(count().pages_lost, 0u);
  EXPECT_EQ(count().pages_free + count().pages_lost, count().pages_total);
  const Pair other;  // Keeps the pool.
  traffic.pair.close_recv();
  EXPECT_EQ(count().pages_lost, 0u);
  EXPECT_EQ(count().pages_free, count().pages_total);
}

TEST_F(TcpxFailureTest, AnEmptyPoolStallsEveryReceiverUntilPagesAreConsumed) {
  const Variable pages("SLUICE_STANDIN_POOL_PAGES", "32");
  const WithFault aligned("aligned");
  Traffic one;
  Traffic other;
  void* first = one.exchange(16 * 4096);
  void* second = one.exchange(16 * 4096);
  void* waiting = other.post_receive(4096);
  void* sent = other.post_send(4096);
  EXPECT_TRUE(other.pair.finish(sent, nullptr));  // Sending needs no page.
  EXPECT_TRUE(never([&] { return other.pair.test(waiting); }));
  EXPECT_EQ(one.pair.consume(first), ResultCode::kSuccess);
  EXPECT_TRUE(other.pair.finish(nullptr, waiting));
  EXPECT_EQ(one.pair.consume(second), ResultCode::kSuccess);
}

TEST_F(TcpxFailureTest, ASendIsDoneWithoutAReceiveAndThoughThePeerIsGone) {
  // Handed to the kernel, and then thrown away unread. A helper that comes too late for that meets
  // a broken connection, and then the send is never done: hence the tries.
  EXPECT_TRUE(eventually([] {
    Traffic traffic;
    EXPECT_TRUE(traffic.pair.finish(traffic.post_send(65'536), nullptr));
    void* sent = traffic.post_send(65'536);
    EXPECT_EQ(traffic.pair.test_code(sent), ResultCode::kSuccess);
    traffic.pair.close_recv();
    return !never([&] { return traffic.pair.test(sent); });
  }));
}

TEST_F(TcpxFailureTest, ASenderThatEndsIsAnErrorForEverAndHidesWhatIsComplete) {
  Traffic traffic;
  void* first = traffic.post_receive(64);
  traffic.post_receive(64);
  EXPECT_TRUE(traffic.pair.finish(traffic.post_send(64), nullptr));
  EXPECT_FALSE(traffic.pair.test(first));  // Reads its announcement, before there is an end.
  traffic.pair.close_send();
  // The first has arrived, but the error of the second comes before it is looked at.
  EXPECT_TRUE(
      eventually([&] { return traffic.pair.test_code(first) == ResultCode::kSystemError; }));
  EXPECT_EQ(traffic.pair.test_code(first), ResultCode::kSystemError);
  EXPECT_EQ(traffic.pair.net.close_recv(std::exchange(traffic.pair.recv_comm, nullptr)),
            ResultCode::kSuccess);
}

TEST_F(TcpxFailureTest, ASenderThatClosesTooEarlyIsAnErrorThoughAllOfItWasSent) {
  Traffic traffic;
  EXPECT_TRUE(traffic.pair.finish(traffic.post_send(64), nullptr));
  EXPECT_TRUE(traffic.pair.finish(traffic.post_send(64), nullptr));
  traffic.pair.close_send();
  void* first = traffic.post_receive(64);
  EXPECT_EQ(traffic.pair.test_code(first), ResultCode::kSystemError);
  // Who tests again all the same gets what had been read before the end.
  EXPECT_TRUE(traffic.pair.finish(nullptr, first));
}

TEST_F(TcpxFailureTest, ASenderThatEndsInTheMiddleOfAChunkIsSilence) {
  const WithFault fault("send-stall:0");  // Announced, and never sent.
  Traffic traffic;
  void* received = traffic.post_receive(64);
  void* sent = traffic.post_send(64);
  EXPECT_FALSE(traffic.pair.test(sent));
  EXPECT_FALSE(traffic.pair.test(received));
  traffic.pair.close_send();
  EXPECT_TRUE(never([&] { return traffic.pair.test(received); }));
}

TEST_F(TcpxFailureTest, SendingToAPeerThatIsGoneRaisesSigpipe) {
  EXPECT_EXIT(
      {
        Traffic traffic;
        traffic.pair.close_recv();
        for (;;) {
          void* request = nullptr;
          int done = 0;
          traffic.pair.send(traffic.from, 0, &request, traffic.send_memory);
          traffic.pair.net.test(request, &done, nullptr);
        }
      },
      testing::KilledBySignal(SIGPIPE), "");
  ASSERT_NE(std::signal(SIGPIPE, SIG_IGN), SIG_ERR);
  Traffic traffic;
  traffic.pair.close_recv();
  ResultCode code = ResultCode::kSuccess;
  EXPECT_TRUE(eventually([&] {
    void* request = nullptr;
    traffic.pair.send(traffic.from, 0, &request, traffic.send_memory);
    int done = 0;
    code = traffic.pair.net.test(request, &done, nullptr);
    return code != ResultCode::kSuccess;
  }));
  EXPECT_EQ(code, ResultCode::kSystemError);
  std::signal(SIGPIPE, SIG_DFL);
}

TEST_F(TcpxFailureTest, TooManyFragmentsEndTheProcess) {
  const WithFault fault("tiny:64");
  EXPECT_EXIT(Traffic().exchange(kChunk), testing::ExitedWithCode(1), "");
}

TEST_F(TcpxFailureTest, FullPostsAreWarnedOf) {
  Traffic traffic;
  for (int i = 0; i < 16; ++i) traffic.post_receive(1);
  const int before = logged_warnings;
  void* request = nullptr;
  EXPECT_EQ(traffic.pair.receive(traffic.into, 1, &request, traffic.receive_memory),
            ResultCode::kInternalError);
  EXPECT_EQ(logged_warnings, before + 1);
}

// What the environment asks for.

TEST_F(TcpxFailureTest, Stall) {
  const WithFault fault("recv-stall:2");
  Traffic traffic;
  traffic.exchange(64);
  traffic.exchange(64);
  void* received = traffic.post_receive(64);
  EXPECT_TRUE(traffic.pair.finish(traffic.post_send(64), nullptr));
  EXPECT_TRUE(never([&] { return traffic.pair.test(received); }));
}

TEST_F(TcpxFailureTest, Error) {
  const WithFault fault("recv-error:1");
  Traffic traffic;
  traffic.exchange(64);
  void* received = traffic.post_receive(64);
  EXPECT_TRUE(never([&] { return traffic.pair.test_code(received) != ResultCode::kSystemError; }));
}

TEST_F(TcpxFailureTest, Leak) {
  const WithFault fault("leak:2,aligned");
  Traffic traffic;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(traffic.pair.consume(traffic.exchange(4096)), ResultCode());
  EXPECT_EQ(count().pages_lost, 2u);
}

TEST_F(TcpxFailureTest, Late) {
  const WithFault fault("late:500");
  Traffic traffic;
  void* sent = traffic.post_send(0);
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(traffic.pair.test(sent));
  EXPECT_TRUE(traffic.pair.test(sent));
}

TEST_F(TcpxFailureTest, DoneWithoutDelivery) {
  const WithFault fault("unsent:1");
  Traffic traffic;
  traffic.exchange(64);
  void* received = traffic.post_receive(64);
  EXPECT_TRUE(traffic.pair.finish(traffic.post_send(64), nullptr));
  EXPECT_TRUE(never([&] { return traffic.pair.test(received); }));
}

TEST_F(TcpxFailureTest, Exit) {
  const WithFault fault("exit:1");
  EXPECT_EXIT(
      {
        Traffic traffic;
        traffic.exchange(64);
        traffic.exchange(64);
      },
      testing::ExitedWithCode(1), "");
}

TEST_F(TcpxFailureTest, Storm) {
  const WithFault fault("storm:1000");
  Traffic traffic;
  void* sent = traffic.post_send(0);
  const int before = logged_warnings;
  EXPECT_TRUE(traffic.pair.test(sent));
  EXPECT_EQ(logged_warnings, before + 1000);
}

TEST_F(TcpxFailureTest, Busy) {
  const WithFault fault("send-busy:2");
  Traffic traffic;
  EXPECT_NE(traffic.post_send(0), nullptr);
  EXPECT_EQ(traffic.post_send(0), nullptr);
  EXPECT_NE(traffic.post_send(0), nullptr);
  EXPECT_NE(traffic.post_receive(0), nullptr);
  EXPECT_NE(traffic.post_receive(0), nullptr);
}

// The longest fragment, whether all begin at odd offsets, and whether they come to the bytes.
TEST_F(TcpxFailureTest, TinyAndUnalignedFragments) {
  for (const char* shape : {"tiny:300", "unaligned"}) {
    const WithFault fault(shape);
    Traffic traffic;
    traffic.from.fill(4);
    void* received = traffic.exchange(100'000);
    EXPECT_EQ(traffic.pair.unpack(0, traffic.into), 100'000u) << shape;
    EXPECT_EQ(traffic.into.matches(4, 100'000), 100'000u) << shape;
    for (std::uint64_t i = 0; i < traffic.pair.meta().counts[0]; ++i) {
      const nccl_abi::UnpackEntry& entry = traffic.pair.meta().entries[0][i];
      if (shape[0] == 't') {
        EXPECT_LE(entry.length, 300u);
      } else {
        EXPECT_EQ(entry.source_offset % 2, 1u);
      }
    }
    EXPECT_EQ(traffic.pair.consume(received), ResultCode::kSuccess);
  }
}

TEST_F(TcpxFailureTest, HostileMetadata) {
  const WithFault fault(
      "aligned,bad-source:0,bad-destination:1,bad-length:2,bad-count:3,short-sum:4");
  Traffic traffic;
  for (int i = 0; i < 5; ++i) traffic.exchange(4096);
  const nccl_abi::UnpackMeta& meta = traffic.pair.meta();
  const std::uint64_t pool_bytes = count().pages_total * 4096;
  EXPECT_GT(meta.entries[0][0].source_offset + std::uint64_t{4096}, pool_bytes);
  EXPECT_GT(meta.entries[1][0].destination_offset + 4096, 4096u);
  EXPECT_GT(meta.entries[2][0].length, 4096u);
  EXPECT_GT(meta.counts[3], nccl_abi::kUnpackEntries);
  EXPECT_EQ(meta.counts[4], 0u);
}

TEST_F(TcpxFailureTest, Oversize) {
  const WithFault fault("oversize:0");
  Traffic traffic;
  traffic.exchange(4096);
  const Pages room(8192);
  EXPECT_EQ(traffic.pair.unpack(0, room), 4096u + 64u);
}

TEST_F(TcpxFailureTest, ConnectAndAcceptFail) {
  const WithFault fault("connect-fails,accept-fails");
  const abi::Table& net = *TcpxLibrary::get().table;
  std::array<std::byte, nccl_abi::kHandleBytes> handle{};
  void* listen_comm = nullptr;
  void* comm = nullptr;
  ASSERT_EQ(net.listen(0, handle.data(), &listen_comm), ResultCode::kSuccess);
  EXPECT_TRUE(eventually(
      [&] { return net.connect(0, handle.data(), &comm, nullptr) == ResultCode::kInternalError; }));
  net.close_listen(listen_comm);
}

TEST_F(TcpxFailureTest, AMalformedVariableIsNotOverlooked) {
  const abi::Table& net = *TcpxLibrary::get().table;
  std::array<std::byte, nccl_abi::kHandleBytes> handle{};
  void* comm = nullptr;
  EXPECT_DEATH(
      {
        const WithFault fault("stal:2");
        net.listen(0, handle.data(), &comm);
      },
      "\"stal:2\" is not .*NAME one of stall");
  EXPECT_DEATH(
      {
        const Variable pages("SLUICE_STANDIN_POOL_PAGES", "0");
        net.listen(0, handle.data(), &comm);
      },
      "\"0\" is not a number from 1 to");
}

// SLUICE_STANDIN_STRICT=1

struct StrictTest : TcpxTest {
  Variable strict{"SLUICE_STANDIN_STRICT", "1"};
};

TEST_F(StrictTest, OrdinaryUseIsNoViolation) {
  const std::uint64_t before = count().violations;
  Traffic traffic;
  for (int i = 0; i < 40; ++i) traffic.pair.consume(traffic.exchange(kChunk));
  EXPECT_EQ(count().violations, before);
}

TEST_F(StrictTest, ViolationsEndTheProcess) {
  Traffic traffic;
  void* first = traffic.post_receive(0);
  void* second = traffic.post_receive(0);
  EXPECT_DEATH(traffic.pair.test(second), "not the oldest request");
  EXPECT_DEATH(traffic.pair.consume(first), "not the oldest done receive");
  EXPECT_DEATH(for (int i = 0; i < 17; ++i) traffic.post_send(0), "more than 16 requests posted");
  EXPECT_DEATH(
      {
        traffic.pair.net.close_recv(traffic.pair.recv_comm);
        traffic.pair.test(first);
      },
      "used after its close");
  EXPECT_DEATH(
      {
        const Pages elsewhere(4096);
        void* request = nullptr;
        traffic.pair.send(elsewhere, 1, &request, traffic.send_memory);
      },
      "outside its registration");
}

TEST_F(StrictTest, AnotherCurrentDeviceIsFound) {
  Traffic traffic;
  const Pages pages(4096);
  EXPECT_DEATH(
      {
        const Variable device("SLUICE_STANDIN_CURRENT_DEVICE", "1");
        traffic.pair.reg(traffic.pair.recv_comm, pages);
      },
      "another CUDA device current");
}

TEST_F(StrictTest, TwoThreadsInOneCommAreFound) {
  EXPECT_DEATH(
      {
        const WithFault fault("storm:1000");
        Traffic traffic;
        void* request = traffic.post_receive(0);
        const auto hammer = [&] {
          for (;;) traffic.pair.test(request);
        };
        std::thread other(hammer);
        hammer();
      },
      "two threads in one comm");
}

}  // namespace
}  // namespace sluice::standin
