// The behaviours of TCPX that do not go wrong: what its tables, connections and requests are.
#include "tests/tcpx_standin/tcpx_fixture.h"

namespace sluice::standin {
namespace {

constexpr std::size_t kChunk = 524'288;

TEST_F(TcpxTest, ExportsTheTableOfVersion7Alone) {
  const TcpxLibrary& library = TcpxLibrary::get();
  for (const char* other : {"ncclNetPlugin_v5", "ncclNetPlugin_v6", "ncclNetPlugin_v8",
                            "ncclNetPlugin_v9", "ncclNetPlugin_v10", "ncclCollNetPlugin_v7"}) {
    EXPECT_EQ(::dlsym(library.library, other), nullptr) << other;
  }
  EXPECT_EQ(library.table->reg_mr_dma_buf, nullptr);
  abi::Properties properties;
  ASSERT_EQ(library.table->get_properties(0, &properties), ResultCode::kSuccess);
  EXPECT_EQ(properties.pointer_support, nccl_abi::kPointerHost | nccl_abi::kPointerCuda);
  EXPECT_EQ(properties.most_receives, 1);
  EXPECT_EQ(properties.device_type, nccl_abi::kDeviceUnpack);
  EXPECT_EQ(properties.device_version, nccl_abi::kUnpackVersion);
}

TEST_F(TcpxTest, IsInitialisedOnce) {
  EXPECT_EQ(TcpxLibrary::get().table->init(count_warnings), ResultCode::kInternalError);
}

TEST_F(TcpxTest, ConnectKeepsItsStateInTheHandleAndFinishesBeforeAccept) {
  const abi::Table& net = *TcpxLibrary::get().table;
  const Variable long_wait("SLUICE_STANDIN_ACCEPT_WAIT_MS", "600000");
  std::array<std::byte, nccl_abi::kHandleBytes> handle{};
  void* listen_comm = nullptr;
  ASSERT_EQ(net.listen(0, handle.data(), &listen_comm), ResultCode::kSuccess);
  void* send_comm = &handle;
  nccl_abi::DeviceHandle* untouched = nullptr;
  ASSERT_EQ(net.connect(0, handle.data(), &send_comm, &untouched), ResultCode::kSuccess);
  EXPECT_EQ(send_comm, nullptr);
  void* state = nullptr;
  std::memcpy(&state, handle.data() + 80, sizeof(state));
  EXPECT_NE(state, nullptr);
  EXPECT_EQ(handle[88], std::byte{0});
  void* recv_comm = nullptr;
  nccl_abi::DeviceHandle storage{};
  nccl_abi::DeviceHandle* pointer = &storage;
  ASSERT_EQ(net.accept(listen_comm, &recv_comm, &pointer), ResultCode::kSuccess);
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(net.connect(0, handle.data(), &send_comm, &untouched), ResultCode::kSuccess);
    return send_comm != nullptr;
  }));
  EXPECT_EQ(untouched, nullptr);
  EXPECT_EQ(net.accept(listen_comm, &recv_comm, &pointer), ResultCode::kSuccess);
  EXPECT_EQ(recv_comm, nullptr);
  net.close_send(send_comm);
  net.close_listen(listen_comm);
}

TEST_F(TcpxTest, AcceptFillsTheDeviceHandle) {
  const Pair pair;
  EXPECT_EQ(pair.device_handle.type, nccl_abi::kDeviceUnpack);
  EXPECT_EQ(pair.device_handle.version, nccl_abi::kUnpackVersion);
  EXPECT_EQ(pair.device_handle.size, sizeof(nccl_abi::UnpackDeviceHandle));
  EXPECT_EQ(pair.device_handle.needs_proxy_progress, 1);
  EXPECT_EQ(pair.device().head, ~0ull);
}

TEST_F(TcpxTest, TheOlderVersionsConnectAnswersAtOnceAndIsBusyMeanwhile) {
  const WithFault fault("at-once");
  const abi::Table& net = *TcpxLibrary::get().table;
  std::array<std::byte, nccl_abi::kHandleBytes> handle{};
  void* listen_comm = nullptr;
  ASSERT_EQ(net.listen(0, handle.data(), &listen_comm), ResultCode::kSuccess);
  void* send_comm = nullptr;
  ASSERT_EQ(net.connect(0, handle.data(), &send_comm, nullptr), ResultCode::kSuccess);
  ASSERT_NE(send_comm, nullptr);
  const Pages memory(4096);
  void* registration = nullptr;
  net.reg_mr(send_comm, memory.data(), 4096, nccl_abi::kPointerCuda, &registration);
  void* request = &handle;
  EXPECT_EQ(net.isend(send_comm, memory.data(), 1, 0, registration, &request),
            ResultCode::kSuccess);
  EXPECT_EQ(request, nullptr);
  // Accepted, so that no thread goes on trying to connect.
  void* recv_comm = nullptr;
  ASSERT_TRUE(eventually([&] {
    EXPECT_EQ(net.accept(listen_comm, &recv_comm, nullptr), ResultCode::kSuccess);
    return recv_comm != nullptr;
  }));
  net.dereg_mr(send_comm, registration);
  net.close_send(send_comm);
  net.close_recv(recv_comm);
  net.close_listen(listen_comm);
}

TEST_F(TcpxTest, ConnectionsCannotBeAskedAgainOrForged) {
  Pair pair;
  void* comm = nullptr;
  EXPECT_DEATH(pair.net.accept(pair.listen_comm, &comm, nullptr), "accept after its answer");
  EXPECT_DEATH(pair.net.connect(0, pair.handle.data(), &comm, nullptr), "connect with a handle");
  std::array<std::byte, nccl_abi::kHandleBytes> garbage;
  garbage.fill(std::byte{0x5A});
  EXPECT_DEATH(pair.net.connect(0, garbage.data(), &comm, nullptr), "connect with a handle");
}

TEST_F(TcpxTest, RegistrationsStartAtAPageUnlessTheyAreHostMemory) {
  Pair pair;
  const Pages pages(8192);
  void* memory = nullptr;
  EXPECT_EQ(
      pair.net.reg_mr(pair.send_comm, pages.data() + 16, 4096, nccl_abi::kPointerCuda, &memory),
      ResultCode::kInternalError);
  ASSERT_EQ(
      pair.net.reg_mr(pair.send_comm, pages.data() + 16, 4096, nccl_abi::kPointerHost, &memory),
      ResultCode::kSuccess);
  EXPECT_EQ(pair.net.dereg_mr(nullptr, memory), ResultCode::kSuccess);
  EXPECT_EQ(pair.net.dereg_mr(nullptr, nullptr), ResultCode::kSuccess);
}

// Sizes, with sender and receiver posting the same, and the data checked through the metadata.
class TcpxSizeTest : public TcpxTest, public testing::WithParamInterface<std::size_t> {};
TEST_P(TcpxSizeTest, Arrives) {
  const std::size_t bytes = GetParam();
  Pair pair;
  const Pages from(kChunk);
  const Pages into(kChunk);
  from.fill(7);
  void* send_memory = pair.reg(pair.send_comm, from);
  void* receive_memory = pair.reg(pair.recv_comm, into);
  // Twice around the slots.
  for (std::uint64_t k = 0; k < 33; ++k) {
    void* sent = nullptr;
    void* received = nullptr;
    ASSERT_EQ(pair.receive(into, bytes, &received, receive_memory, 5), ResultCode::kSuccess);
    ASSERT_EQ(pair.send(from, bytes, &sent, send_memory, 9), ResultCode::kSuccess);
    ASSERT_TRUE(pair.finish(sent, received));
    std::memset(into.data(), 0, into.bytes());
    ASSERT_EQ(pair.unpack(k, into), bytes);
    ASSERT_EQ(into.matches(7, bytes), bytes);
    ASSERT_EQ(pair.consume(received), ResultCode::kSuccess);
  }
  EXPECT_EQ(count().pages_free, count().pages_total);
}
INSTANTIATE_TEST_SUITE_P(Sizes, TcpxSizeTest,
                         testing::Values(0, 1, 15, 16, 17, 4095, 4096, 4097, 131'072, kChunk));

TEST_F(TcpxTest, TheSenderDecidesTheSizeAndNobodyWritesIt) {
  Pair pair;
  const Pages from(16'384);
  const Pages into(16'384);
  from.fill(3);
  void* send_memory = pair.reg(pair.send_comm, from);
  void* receive_memory = pair.reg(pair.recv_comm, into);
  const std::pair<std::size_t, std::size_t> sizes[] = {{4096, 8192}, {0, 8192}, {8192, 4096}};
  for (std::uint64_t k = 0; k < std::size(sizes); ++k) {
    const auto [sent_bytes, posted_bytes] = sizes[k];
    void* sent = nullptr;
    void* received = nullptr;
    ASSERT_EQ(pair.receive(into, posted_bytes, &received, receive_memory), ResultCode::kSuccess);
    ASSERT_EQ(pair.send(from, sent_bytes, &sent, send_memory), ResultCode::kSuccess);
    int size = 0x5A5A5A5A;
    EXPECT_TRUE(eventually([&] {
      pair.test_code(sent);
      int done = 0;
      EXPECT_EQ(pair.net.test(received, &done, &size), ResultCode::kSuccess);
      return done == 1;
    }));
    EXPECT_EQ(size, 0x5A5A5A5A);
    EXPECT_EQ(pair.unpack(k, into), sent_bytes);
    EXPECT_EQ(into.matches(3, sent_bytes), sent_bytes);
    // The one way to be told.
    EXPECT_EQ(pair.net.iflush(pair.recv_comm, 1, nullptr, &size, nullptr, &received),
              ResultCode::kSuccess);
    EXPECT_EQ(size, static_cast<int>(sent_bytes));
    EXPECT_EQ(pair.consume(received), ResultCode::kSuccess);
  }
}

TEST_F(TcpxTest, SixteenRequestsAndNoMore) {
  Pair pair;
  const Pages memory(4096);
  void* send_memory = pair.reg(pair.send_comm, memory);
  void* receive_memory = pair.reg(pair.recv_comm, memory);
  std::array<void*, 16> sends{};
  std::array<void*, 16> receives{};
  for (std::size_t i = 0; i < 16; ++i) {
    ASSERT_EQ(pair.receive(memory, 0, &receives[i], receive_memory), ResultCode::kSuccess);
    ASSERT_EQ(pair.send(memory, 0, &sends[i], send_memory), ResultCode::kSuccess);
  }
  void* untouched = &pair;
  EXPECT_EQ(pair.send(memory, 0, &untouched, send_memory), ResultCode::kInternalError);
  EXPECT_EQ(pair.receive(memory, 0, &untouched, receive_memory), ResultCode::kInternalError);
  EXPECT_EQ(untouched, &pair);
  for (std::size_t i = 0; i < 16; ++i) ASSERT_TRUE(pair.finish(sends[i], receives[i]));
  // A send's place is free with done, a receive's with its consumption.
  void* again = nullptr;
  EXPECT_EQ(pair.send(memory, 0, &again, send_memory), ResultCode::kSuccess);
  EXPECT_EQ(again, sends[0]);
  EXPECT_EQ(pair.receive(memory, 0, &again, receive_memory), ResultCode::kInternalError);
  EXPECT_EQ(pair.consume(receives[0]), ResultCode::kSuccess);
  EXPECT_EQ(pair.receive(memory, 0, &again, receive_memory), ResultCode::kSuccess);
  EXPECT_EQ(again, receives[0]);
  EXPECT_GE(count().most_in_flight_receive, 16u);
}

TEST_F(TcpxTest, OnlyTestMovesAndOneRequestAtATime) {
  Pair pair;
  const Pages memory(4096);
  void* send_memory = pair.reg(pair.send_comm, memory);
  void* receive_memory = pair.reg(pair.recv_comm, memory);
  std::array<void*, 16> sends{};
  std::array<void*, 16> receives{};
  for (std::size_t i = 0; i < 16; ++i) {
    ASSERT_EQ(pair.receive(memory, 0, &receives[i], receive_memory), ResultCode::kSuccess);
    ASSERT_EQ(pair.send(memory, 0, &sends[i], send_memory), ResultCode::kSuccess);
  }
  EXPECT_TRUE(never([&] { return pair.test(receives[0]); }));
  EXPECT_TRUE(pair.test(sends[0]));
  EXPECT_TRUE(eventually([&] { return pair.test(receives[0]); }));
  EXPECT_TRUE(never([&] { return pair.test(receives[1]); }));
}

TEST_F(TcpxTest, OnlyTheOldestTransmittingRequestMayBeTested) {
  Pair pair;
  const Pages memory(4096);
  void* send_memory = pair.reg(pair.send_comm, memory);
  void* receive_memory = pair.reg(pair.recv_comm, memory);
  std::array<void*, 2> sends{};
  std::array<void*, 2> receives{};
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(pair.receive(memory, 0, &receives[i], receive_memory), ResultCode::kSuccess);
    ASSERT_EQ(pair.send(memory, 0, &sends[i], send_memory), ResultCode::kSuccess);
  }
  // Nothing is transmitting: any request is simply not done.
  EXPECT_EQ(pair.test_code(receives[1]), ResultCode::kSuccess);
  // The first test makes the first request transmit, and is about another one.
  EXPECT_EQ(pair.test_code(sends[1]), ResultCode::kInternalError);
  EXPECT_TRUE(pair.test(sends[0]));
  EXPECT_TRUE(pair.test(sends[1]));
  EXPECT_TRUE(eventually([&] { return pair.test_code(receives[1]) != ResultCode::kSuccess; }));
  EXPECT_TRUE(eventually([&] { return pair.test(receives[0]); }));
  // Done once and never again.
  EXPECT_NE(pair.test_code(receives[0]), ResultCode::kSystemError);
  EXPECT_TRUE(eventually([&] { return pair.test(receives[1]); }));
  EXPECT_FALSE(pair.test(receives[1]));
  EXPECT_EQ(pair.net.test(nullptr, nullptr, nullptr), ResultCode::kInternalError);
}

TEST_F(TcpxTest, ConsumedIsCheckedInItsOwnOrder) {
  Pair pair;
  const Pages memory(4096);
  void* send_memory = pair.reg(pair.send_comm, memory);
  void* receive_memory = pair.reg(pair.recv_comm, memory);
  std::array<void*, 2> receives{};
  void* sent = nullptr;
  for (void*& received : receives) {
    ASSERT_EQ(pair.receive(memory, 64, &received, receive_memory), ResultCode::kSuccess);
  }
  EXPECT_EQ(pair.net.irecv_consumed(pair.recv_comm, 1, nullptr), ResultCode::kInternalError);
  EXPECT_EQ(pair.net.irecv_consumed(pair.recv_comm, 2, receives[0]), ResultCode::kInternalError);
  EXPECT_EQ(pair.consume(receives[0]), ResultCode::kInternalError);  // Not done yet.
  for (void* received : receives) {
    ASSERT_EQ(pair.send(memory, 64, &sent, send_memory), ResultCode::kSuccess);
    ASSERT_TRUE(pair.finish(sent, received));
  }
  EXPECT_EQ(pair.consume(sent), ResultCode::kSuccess);               // A send: said to be well.
  EXPECT_EQ(pair.consume(receives[1]), ResultCode::kInternalError);  // Not the oldest.
  EXPECT_EQ(pair.consume(receives[0]), ResultCode::kSuccess);
  EXPECT_EQ(pair.consume(receives[0]), ResultCode::kInternalError);  // Twice.
  EXPECT_EQ(pair.consume(receives[1]), ResultCode::kSuccess);
}

TEST_F(TcpxTest, ConsumedPagesAndSlotsAreOverwritten) {
  Pair pair;
  const Pages memory(4096);
  memory.fill(1);
  void* send_memory = pair.reg(pair.send_comm, memory);
  void* receive_memory = pair.reg(pair.recv_comm, memory);
  void* sent = nullptr;
  void* received = nullptr;
  ASSERT_EQ(pair.receive(memory, 64, &received, receive_memory), ResultCode::kSuccess);
  ASSERT_EQ(pair.send(memory, 64, &sent, send_memory), ResultCode::kSuccess);
  ASSERT_TRUE(pair.finish(sent, received));
  const nccl_abi::UnpackEntry entry = pair.meta().entries[0][0];
  const auto* page = static_cast<const std::byte*>(pair.device().bounce_pool) + entry.source_offset;
  EXPECT_EQ(page[0], pattern_at(entry.destination_offset, 1));
  EXPECT_GT(pair.meta().counts[1], nccl_abi::kUnpackEntries);  // Not published: garbage.
  EXPECT_EQ(pair.consume(received), ResultCode::kSuccess);
  EXPECT_EQ(page[0], std::byte{0xDB});
  EXPECT_GT(pair.meta().counts[0], nccl_abi::kUnpackEntries);
}

TEST_F(TcpxTest, SeveralSocketsAreTheListenersChoice) {
  const Variable sockets("NCCL_NSOCKS_PERTHREAD", "4");
  Pair pair;
  const Variable one("NCCL_NSOCKS_PERTHREAD", "1");
  const Variable small("NCCL_DYNAMIC_CHUNK_SIZE", "65536");
  const Pages from(kChunk);
  const Pages into(kChunk);
  from.fill(11);
  void* send_memory = pair.reg(pair.send_comm, from);
  void* receive_memory = pair.reg(pair.recv_comm, into);
  for (std::uint64_t k = 0; k < 40; ++k) {
    void* sent = nullptr;
    void* received = nullptr;
    ASSERT_EQ(pair.receive(into, kChunk, &received, receive_memory), ResultCode::kSuccess);
    ASSERT_EQ(pair.send(from, kChunk, &sent, send_memory), ResultCode::kSuccess);
    ASSERT_TRUE(pair.finish(sent, received));
    ASSERT_EQ(pair.unpack(k, into), kChunk);
    ASSERT_EQ(into.matches(11, kChunk), kChunk);
    ASSERT_EQ(pair.consume(received), ResultCode::kSuccess);
  }
  EXPECT_EQ(count().pages_lost, 0u);
}

TEST_F(TcpxTest, HostRegistrationsAreDeliveredInPlace) {
  Pair pair;
  const Pages from(4096);
  const Pages into(4096);
  from.fill(2);
  void* send_memory = pair.reg(pair.send_comm, from, nccl_abi::kPointerHost);
  void* receive_memory = pair.reg(pair.recv_comm, into, nccl_abi::kPointerHost);
  void* sent = nullptr;
  void* received = nullptr;
  ASSERT_EQ(pair.receive(into, 4096, &received, receive_memory), ResultCode::kSuccess);
  ASSERT_EQ(pair.send(from, 4096, &sent, send_memory), ResultCode::kSuccess);
  ASSERT_TRUE(pair.finish(sent, received));
  EXPECT_EQ(pair.meta().counts[0], 0u);
  EXPECT_EQ(into.matches(2, 4096), 4096u);
  EXPECT_EQ(pair.consume(received), ResultCode::kSuccess);
}

}  // namespace
}  // namespace sluice::standin
