// UNPACK mode: what NCCL's kernels do with the metadata is done here, on memory of the host.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <span>
#include <thread>

#include "tests/nccl_plugin/nccl_fixture.h"

namespace sluice::nccl_test {
namespace {

constexpr std::size_t kRoom = 8 << 20;  // Of a receiving comm.

// The kernel's side of a receiving comm: counts up first, then looks at the slot.
class Kernel {
 public:
  explicit Kernel(const nccl_abi::DeviceHandle& handle)
      : handle_(*static_cast<nccl_abi::UnpackDeviceHandle*>(handle.handle)), head_(handle_.head) {}

  // The entries of the next message, into `fifo`; how many bytes they are.
  std::size_t unpack(std::span<std::byte> fifo) {
    const std::uint64_t slot = ++head_ % nccl_abi::kUnpackSlots;
    const std::uint64_t count =
        std::atomic_ref(handle_.meta->counts[slot]).load(std::memory_order_relaxed);
    EXPECT_LE(count, nccl_abi::kUnpackEntries);
    std::size_t bytes = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const nccl_abi::UnpackEntry entry = handle_.meta->entries[slot][i];
      EXPECT_LE(entry.length, nccl_abi::kUnpackPageBytes);  // A warp's share stays small.
      EXPECT_EQ((entry.source_offset | entry.destination_offset) % 16, 0u);
      EXPECT_LE(entry.destination_offset + entry.length, fifo.size());
      std::memcpy(fifo.data() + entry.destination_offset,
                  static_cast<std::byte*>(handle_.bounce_pool) + entry.source_offset, entry.length);
      bytes += entry.length;
    }
    return bytes;
  }

 private:
  nccl_abi::UnpackDeviceHandle& handle_;
  std::uint64_t head_;
};

// The ends of a connection, the receiving one in UNPACK mode.
struct Connection {
  void* send_comm = nullptr;
  void* recv_comm = nullptr;
  nccl_abi::DeviceHandle handle{};
};

class NcclUnpackTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Api> api;
  std::unique_ptr<Rank> rank;
  Connection c;

  void SetUp() override {
    for (const auto& [name, value] : kEnvironment) ::setenv(name, value, 1);
    api = Api::open(GetParam(), Api::Library::kPosing);
    ASSERT_NE(api, nullptr);
    rank = std::make_unique<Rank>(*api);
    ASSERT_EQ(rank->init(), ResultCode::kSuccess);
    c = connect();
  }
  void TearDown() override {
    close(c);
    rank.reset();
    for (const auto& [name, value] : kEnvironment) ::unsetenv(name);
  }
  Connection connect() {
    Connection made;
    Handle handle = rank->listen();
    ResultCode code{};
    made.send_comm = rank->connect(handle, code);
    EXPECT_NE(made.send_comm, nullptr);
    made.handle = {nccl_abi::kDeviceUnpack, nccl_abi::kUnpackVersion, nullptr, 0, 0};
    EXPECT_TRUE(eventually([&] {
      code = api->accept_unpacking(rank->listening(), &made.recv_comm, &made.handle);
      return code != ResultCode::kSuccess || made.recv_comm != nullptr;
    }));
    EXPECT_NE(made.recv_comm, nullptr);
    rank->close_listen();
    return made;
  }
  void close(Connection& connection) {
    EXPECT_EQ(api->close_send(connection.send_comm), ResultCode::kSuccess);
    EXPECT_EQ(api->close_recv(connection.recv_comm), ResultCode::kSuccess);
    connection = {};
  }
  void* isend(void* comm, Bytes& bytes, void* mr = nullptr) {
    void* request = nullptr;
    EXPECT_EQ(api->isend(comm, bytes.data(), bytes.size(), mr, nullptr, &request),
              ResultCode::kSuccess);
    return request;
  }
  void* irecv(void* comm, std::size_t size, ResultCode wanted = ResultCode::kSuccess) {
    auto* request = reinterpret_cast<void*>(nccl_abi::kOptionalReceiveCompletion);
    // Where the kernel would put it: nobody else may touch it.
    void* data = reinterpret_cast<void*>(0x10);
    void* mr = nullptr;
    void* parent = nullptr;
    EXPECT_EQ(api->irecv(comm, 1, &data, &size, &mr, &parent, &request), wanted);
    return request;
  }
  void expect_done(void* request, std::size_t size) {
    ASSERT_NE(request, nullptr);
    int moved = -1;
    ASSERT_EQ(finish(*api, request, &moved), ResultCode::kSuccess);
    ASSERT_EQ(static_cast<std::size_t>(moved), size);
  }
  // Both ends are asked in turns: a send out of the GPU goes on only when it is.
  void expect_moved(void* send, void* receive, std::size_t size) {
    ASSERT_NE(send, nullptr);
    ASSERT_NE(receive, nullptr);
    std::array<int, nccl_abi::kTestSizes> sizes{};
    int sent = 0;
    int arrived = 0;
    bool failed = false;
    EXPECT_TRUE(eventually([&] {
      if (sent == 0) failed |= api->test(send, &sent, nullptr) != ResultCode::kSuccess;
      if (arrived == 0) {
        failed |= api->test(receive, &arrived, sizes.data()) != ResultCode::kSuccess;
      }
      return failed || (sent == 1 && arrived == 1);
    }));
    ASSERT_FALSE(failed);
    ASSERT_EQ(static_cast<std::size_t>(sizes[0]), size);
  }
  // Memory of the posing GPU, as NCCL registers it when the connection is made.
  void* register_gpu(void* comm, Bytes& bytes, ResultCode wanted = ResultCode::kSuccess) {
    void* mr = nullptr;
    EXPECT_EQ(api->reg_mr(comm, bytes.data(), bytes.size(), nccl_abi::kPointerCuda, &mr), wanted);
    return mr;
  }

 private:
  static constexpr std::pair<const char*, const char*> kEnvironment[] = {
      {"SLUICE_NCCL_DEVICE", "unpack"}, {"NCCL_PROTO", "Simple"},     {"NCCL_ALGO", "Ring"},
      {"NCCL_GRAPH_REGISTER", "0"},     {"NCCL_LOCAL_REGISTER", "0"}, {"NCCL_NET_GDR_READ", "0"},
      {"SLUICE_NCCL_POOL_BYTES", "48M"}};  // Five ends of connections.
};

// v6 knows no device handles: nccl_init_test.
INSTANTIATE_TEST_SUITE_P(Version, NcclUnpackTest, ::testing::ValuesIn(tables_from(7)));

TEST_P(NcclUnpackTest, PropertiesAndHandleSayUnpack) {
  Properties properties;
  ASSERT_EQ(api->get_properties(0, properties), ResultCode::kSuccess);
  EXPECT_EQ(properties.pointer_support, nccl_abi::kPointerHost | nccl_abi::kPointerCuda);
  EXPECT_EQ(properties.device_type, nccl_abi::kDeviceUnpack);
  EXPECT_EQ(properties.device_version, nccl_abi::kUnpackVersion);
  EXPECT_EQ(properties.most_receives, 1);
  EXPECT_EQ(properties.registration_is_global, GetParam() >= 8 ? 0 : -1);
  EXPECT_EQ(c.handle.type, nccl_abi::kDeviceUnpack);
  EXPECT_EQ(c.handle.version, nccl_abi::kUnpackVersion);
  EXPECT_EQ(c.handle.size, sizeof(nccl_abi::UnpackDeviceHandle));
  EXPECT_EQ(c.handle.needs_proxy_progress, 1);
}

TEST_P(NcclUnpackTest, EverySizeIsUnpackedFromItsSlot) {
  Kernel kernel(c.handle);
  Bytes fifo(kRoom);
  std::uint64_t seed = 0;
  for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 4095u, 4096u, 4097u, 65'539u, 512u << 10,
                                 1u << 20, (4u << 20) - 1, 8u << 20, 0u, 1u, 2u, 3u, 4u, 5u}) {
    SCOPED_TRACE(size);
    Bytes from = pattern(size, ++seed);
    void* receive = irecv(c.recv_comm, std::min(size + 64, kRoom));
    void* send = isend(c.send_comm, from);
    expect_moved(send, receive, size);
    ASSERT_EQ(kernel.unpack(fifo), size);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), fifo.begin()));
    ASSERT_EQ(api->consumed(c.recv_comm, receive), ResultCode::kSuccess);
  }
}

TEST_P(NcclUnpackTest, SixteenSlotsAreOutAndTheNextWaitsForTheKernel) {
  Kernel kernel(c.handle);
  std::vector<Bytes> from;
  std::deque<void*> receives;
  std::deque<void*> sends;
  for (std::size_t i = 0; i < 17; ++i) {
    from.push_back(pattern(3000 + i, i));
    sends.push_back(isend(c.send_comm, from.back()));
  }
  for (std::size_t i = 0; i < 16; ++i) {
    receives.push_back(irecv(c.recv_comm, 4000));
    ASSERT_NE(receives.back(), nullptr);
  }
  EXPECT_EQ(irecv(c.recv_comm, 4000), nullptr);  // No error.
  // Done in any order, and still not free.
  for (std::size_t i = 16; i-- > 0;) expect_done(receives[i], from[i].size());
  EXPECT_EQ(irecv(c.recv_comm, 4000), nullptr);
  Bytes fifo(4000);
  for (std::size_t i = 0; i < 17; ++i) {
    ASSERT_EQ(kernel.unpack(fifo), from[i].size());
    EXPECT_TRUE(std::equal(from[i].begin(), from[i].end(), fifo.begin())) << i;
    ASSERT_EQ(api->consumed(c.recv_comm, receives[i]), ResultCode::kSuccess);
    if (i > 0) continue;
    receives.push_back(irecv(c.recv_comm, 4000));
    expect_done(receives.back(), from[16].size());
  }
  for (std::size_t i = 0; i < 17; ++i) expect_done(sends[i], from[i].size());
}

TEST_P(NcclUnpackTest, AFullPoolWaitsForTheKernel) {
  Kernel kernel(c.handle);
  Bytes fifo(kRoom);
  Bytes from = pattern(3 << 20, 1);
  void* first = irecv(c.recv_comm, from.size());
  void* second = irecv(c.recv_comm, from.size());
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(irecv(c.recv_comm, from.size()), nullptr);
  expect_moved(isend(c.send_comm, from), first, from.size());
  EXPECT_EQ(irecv(c.recv_comm, from.size()), nullptr);
  kernel.unpack(fifo);
  ASSERT_EQ(api->consumed(c.recv_comm, first), ResultCode::kSuccess);
  void* third = irecv(c.recv_comm, from.size());  // Where the first one was.
  for (void* receive : {second, third}) {
    Bytes next = pattern(from.size(), receive == second ? 2 : 3);
    ASSERT_NE(receive, nullptr);
    expect_moved(isend(c.send_comm, next), receive, next.size());
    ASSERT_EQ(kernel.unpack(fifo), next.size());
    EXPECT_TRUE(std::equal(next.begin(), next.end(), fifo.begin()));
    ASSERT_EQ(api->consumed(c.recv_comm, receive), ResultCode::kSuccess);
  }
  EXPECT_EQ(irecv(c.recv_comm, kRoom + 1, ResultCode::kInvalidUsage), nullptr);
}

TEST_P(NcclUnpackTest, ConsumedOutOfStepIsAnError) {
  Bytes from = pattern(100, 1);
  void* first = irecv(c.recv_comm, 100);
  void* second = irecv(c.recv_comm, 100);
  EXPECT_EQ(api->consumed(c.recv_comm, first), ResultCode::kInvalidUsage);  // Not done.
  for (int i = 0; i < 2; ++i) expect_done(isend(c.send_comm, from), 100);
  expect_done(second, 100);
  expect_done(first, 100);
  EXPECT_EQ(api->consumed(c.recv_comm, second), ResultCode::kInvalidUsage);
  EXPECT_EQ(api->consumed(c.recv_comm, first), ResultCode::kSuccess);
  EXPECT_EQ(api->consumed(c.recv_comm, first), ResultCode::kInvalidUsage);
  EXPECT_EQ(api->consumed(c.recv_comm, second), ResultCode::kSuccess);
}

TEST_P(NcclUnpackTest, MemoryOfTheGpuIsSentInOrderWithThatOfTheHost) {
  Kernel kernel(c.handle);
  Bytes gpu = pattern(6 << 20, 1);
  void* mr = register_gpu(c.send_comm, gpu);
  ASSERT_NE(mr, nullptr);
  Bytes fifo(kRoom);
  std::deque<Bytes> from;
  std::deque<void*> sends;
  std::minstd_rand random(1);
  std::size_t received = 0;
  const auto receive = [&] {
    void* request = irecv(c.recv_comm, 1 << 20);
    expect_moved(sends[received], request, from[received].size());
    ASSERT_EQ(kernel.unpack(fifo), from[received].size());
    EXPECT_TRUE(std::equal(from[received].begin(), from[received].end(), fifo.begin())) << received;
    ASSERT_EQ(api->consumed(c.recv_comm, request), ResultCode::kSuccess);
    ++received;
  };
  for (std::size_t i = 0; i < 48; ++i) {
    from.push_back(pattern(random() % 7 == 0 ? 0 : random() % (1 << 20), i));
    void* send = nullptr;
    // A full pool, or 32 messages, is no error.
    while ((send = isend(c.send_comm, from.back(), i % 5 == 4 ? nullptr : mr)) == nullptr) {
      ASSERT_LT(received, sends.size());
      receive();
    }
    sends.push_back(send);
  }
  while (received < from.size()) receive();
  Bytes large(kRoom + (1 << 20));
  void* request = nullptr;
  EXPECT_EQ(api->isend(c.send_comm, large.data(), large.size(), mr, nullptr, &request),
            ResultCode::kInvalidUsage);
  EXPECT_EQ(api->dereg_mr(c.send_comm, mr), ResultCode::kSuccess);
}

TEST_P(NcclUnpackTest, WhatWasDeregisteredIsNotReadAnyMore) {
  auto gpu = std::make_unique<Bytes>(pattern(1 << 20, 1));
  const Bytes wanted = *gpu;
  void* mr = register_gpu(c.send_comm, *gpu);
  void* send = isend(c.send_comm, *gpu, mr);
  ASSERT_NE(send, nullptr);
  EXPECT_EQ(api->dereg_mr(c.send_comm, mr), ResultCode::kSuccess);
  gpu.reset();  // A sanitizer sees who comes too late.
  Kernel kernel(c.handle);
  Bytes fifo(wanted.size());
  void* receive = irecv(c.recv_comm, fifo.size());
  // The copy was over, so the message goes out.
  expect_moved(send, receive, wanted.size());
  EXPECT_EQ(kernel.unpack(fifo), wanted.size());
  EXPECT_EQ(fifo, wanted);
}

TEST_P(NcclUnpackTest, UsersMemoryIsRefused) {
  Bytes bytes(100);
  std::vector<void*> own;
  for (void* comm : {c.send_comm, c.recv_comm}) {
    for (int i = 0; i < 3; ++i) own.push_back(register_gpu(comm, bytes));
    EXPECT_EQ(register_gpu(comm, bytes, ResultCode::kInvalidArgument), nullptr);
    for (; !own.empty(); own.pop_back()) {
      EXPECT_EQ(api->dereg_mr(comm, own.back()), ResultCode::kSuccess);
    }
  }
  Connection used = connect();
  void* receive = irecv(used.recv_comm, 100);
  expect_done(isend(used.send_comm, bytes), 100);
  expect_done(receive, 100);
  register_gpu(used.send_comm, bytes, ResultCode::kInvalidArgument);
  register_gpu(used.recv_comm, bytes, ResultCode::kInvalidArgument);
  close(used);
}

TEST_P(NcclUnpackTest, AllConnectionsOfAGpuHaveOneBaseAndEachItsOwnPages) {
  Connection other = connect();
  const auto handle_of = [](const Connection& connection) {
    return *static_cast<nccl_abi::UnpackDeviceHandle*>(connection.handle.handle);
  };
  EXPECT_EQ(handle_of(c).bounce_pool, handle_of(other).bounce_pool);
  EXPECT_NE(handle_of(c).meta, handle_of(other).meta);
  EXPECT_EQ(handle_of(c).head, ~0ull);
  Kernel first(c.handle);
  Kernel second(other.handle);
  Bytes one = pattern(100'000, 1);
  Bytes two = pattern(100'000, 2);
  Bytes fifo(100'000);
  void* receive_one = irecv(c.recv_comm, one.size());
  void* receive_two = irecv(other.recv_comm, two.size());
  expect_moved(isend(c.send_comm, one), receive_one, one.size());
  expect_moved(isend(other.send_comm, two), receive_two, two.size());
  first.unpack(fifo);
  EXPECT_EQ(fifo, one);
  second.unpack(fifo);
  EXPECT_EQ(fifo, two);
  close(other);
}

TEST_P(NcclUnpackTest, APoolThatIsGivenOutIsAnErrorUntilAConnectionEnds) {
  std::deque<Connection> all;
  // A receiving end each, and `c` has one.
  for (int i = 1; i < 5; ++i) all.push_back(connect());
  Bytes gpu(100);
  EXPECT_EQ(register_gpu(c.send_comm, gpu, ResultCode::kSystemError), nullptr);
  close(all.front());
  all.pop_front();
  void* mr = register_gpu(c.send_comm, gpu);
  EXPECT_NE(mr, nullptr);
  EXPECT_EQ(api->dereg_mr(c.send_comm, mr), ResultCode::kSuccess);
  for (Connection& connection : all) close(connection);
}

TEST_P(NcclUnpackTest, ASenderThatDiesIsAnError) {
  Bytes gpu = pattern(6 << 20, 1);
  void* mr = register_gpu(c.send_comm, gpu);
  void* receive = irecv(c.recv_comm, 100);
  void* second = irecv(c.recv_comm, 100);
  ASSERT_NE(isend(c.send_comm, gpu, mr), nullptr);  // Still being copied when the comm ends.
  EXPECT_EQ(api->close_send(c.send_comm), ResultCode::kSuccess);
  c.send_comm = nullptr;
  EXPECT_EQ(api->dereg_mr(nullptr, mr), ResultCode::kSuccess);
  int size = -1;
  EXPECT_NE(finish(*api, receive, &size), ResultCode::kSuccess);
  EXPECT_NE(finish(*api, second, &size), ResultCode::kSuccess);
  EXPECT_EQ(api->consumed(c.recv_comm, receive), ResultCode::kInvalidUsage);
}

TEST_P(NcclUnpackTest, AReceiverThatDiesIsAnError) {
  Bytes gpu = pattern(1 << 20, 1);
  void* mr = register_gpu(c.send_comm, gpu);
  ASSERT_NE(irecv(c.recv_comm, gpu.size()), nullptr);
  EXPECT_EQ(api->close_recv(c.recv_comm), ResultCode::kSuccess);
  c.recv_comm = nullptr;
  // What the sockets hold may pass for sent; not for ever.
  EXPECT_TRUE(eventually([&] {
    void* send = nullptr;
    if (api->isend(c.send_comm, gpu.data(), gpu.size(), mr, nullptr, &send) !=
        ResultCode::kSuccess) {
      return true;
    }
    int size = 0;
    return send != nullptr && finish(*api, send, &size) != ResultCode::kSuccess;
  }));
  EXPECT_EQ(api->dereg_mr(c.send_comm, mr), ResultCode::kSuccess);
}

// Two ranks on one GPU: a thread each, which share the pool.
TEST_P(NcclUnpackTest, ThreadsShareAPool) {
  Connection other = connect();
  const auto move = [&](Connection& ends, std::uint64_t seed) {
    Kernel kernel(ends.handle);
    Bytes gpu = pattern(200'000, seed);
    Bytes fifo(gpu.size());
    void* mr = register_gpu(ends.send_comm, gpu);
    for (int i = 0; i < 40; ++i) {
      void* receive = irecv(ends.recv_comm, gpu.size());
      expect_moved(isend(ends.send_comm, gpu, mr), receive, gpu.size());
      EXPECT_EQ(kernel.unpack(fifo), gpu.size());
      EXPECT_EQ(fifo, gpu);
      EXPECT_EQ(api->consumed(ends.recv_comm, receive), ResultCode::kSuccess);
    }
    EXPECT_EQ(api->dereg_mr(ends.send_comm, mr), ResultCode::kSuccess);
  };
  std::thread thread([&] { move(other, 2); });
  move(c, 1);
  thread.join();
  close(other);
}

}  // namespace
}  // namespace sluice::nccl_test
