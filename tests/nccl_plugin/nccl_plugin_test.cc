// libnccl-net-sluice.so through each of its tables, in one process.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <deque>
#include <random>
#include <set>
#include <thread>

#include "src/net/striped/striped_wire.h"
#include "tests/nccl_plugin/nccl_fixture.h"

namespace sluice::nccl_test {
namespace {

INSTANTIATE_TEST_SUITE_P(Version, NcclPluginTest, ::testing::ValuesIn(tables_from(kOldest)));

TEST_P(NcclPluginTest, PropertiesAreThoseOfItsVersion) {
  const int version = GetParam();
  EXPECT_EQ(api->name(), "sluice");
  ASSERT_EQ(rank->init(), ResultCode::kSuccess);
  int count = 0;
  ASSERT_EQ(api->devices(&count), ResultCode::kSuccess);
  ASSERT_EQ(count, 1);
  Properties properties;
  ASSERT_EQ(api->get_properties(0, properties), ResultCode::kSuccess);
  EXPECT_EQ(properties.name, "lo");
  EXPECT_FALSE(properties.has_pci_path);
  EXPECT_EQ(properties.pointer_support, nccl_abi::kPointerHost);
  EXPECT_GT(properties.speed, 0);
  EXPECT_GT(properties.most_comms, 1000);
  EXPECT_EQ(properties.most_receives, 1);
  EXPECT_EQ(properties.device_type, version >= 7 ? nccl_abi::kDeviceHost : -1);
  EXPECT_EQ(properties.registration_is_global, version >= 8 ? 1 : -1);
  EXPECT_EQ(properties.members, version >= 9 ? 1 : -1);
  EXPECT_EQ(properties.first_member, version >= 9 ? 0 : -1);
  EXPECT_EQ(properties.largest_message, version >= 9 ? 1 << 30 : -1);
  EXPECT_EQ(properties.most_multi_request, version >= 11 ? 1 : -1);
  EXPECT_EQ(properties.rail_id, -1);
  EXPECT_EQ(api->get_properties(1, properties), ResultCode::kInvalidArgument);
  EXPECT_EQ(api->get_properties(-1, properties), ResultCode::kInvalidArgument);
}

TEST_P(NcclPluginTest, ConnectingMayBeMadeBeforeAcceptingIsAsked) {
  make_connection();
  Bytes from = pattern(100'000, 1);
  Bytes into(100'000);
  void* receive = irecv(into);
  expect_done(isend(from), from.size());
  expect_done(receive, from.size());
  EXPECT_TRUE(same_bytes(into, from));
}

TEST_P(NcclPluginTest, AcceptingMayBeAskedLongBeforeAnybodyConnects) {
  ASSERT_EQ(rank->init(), ResultCode::kSuccess);
  Handle handle = rank->listen();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(api->accept(rank->listening(), &recv_comm), ResultCode::kSuccess);
    ASSERT_EQ(recv_comm, nullptr);
  }
  while (send_comm == nullptr || recv_comm == nullptr) {
    if (recv_comm == nullptr) {
      ASSERT_EQ(api->accept(rank->listening(), &recv_comm), ResultCode::kSuccess);
    }
    if (send_comm == nullptr) {
      ASSERT_EQ(api->connect(rank->context(), 0, handle.data(), &send_comm), ResultCode::kSuccess);
    }
  }
  Bytes from = pattern(1000, 1);
  Bytes into(1000);
  void* receive = irecv(into);
  expect_done(isend(from), 1000);
  expect_done(receive, 1000);
}

TEST_P(NcclPluginTest, AListenCommThatNobodyConnectsToCloses) {
  ASSERT_EQ(rank->init(), ResultCode::kSuccess);
  rank->listen();
  rank->close_listen();
}

TEST_P(NcclPluginTest, AListenCommMakesOneConnection) {
  ASSERT_EQ(rank->init(), ResultCode::kSuccess);
  Handle handle = rank->listen();
  ResultCode code{};
  send_comm = rank->connect(handle, code);
  recv_comm = rank->accept(code);
  ASSERT_NE(recv_comm, nullptr);
  EXPECT_EQ(rank->accept(code), nullptr);
  EXPECT_EQ(code, ResultCode::kInvalidArgument);
}

TEST_P(NcclPluginTest, EverySizeArrivesAndIsTold) {
  make_connection();
  std::uint64_t seed = 0;
  for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 4095u, 4096u, 4097u, 128u << 10, 512u << 10,
                                 1u << 20, 4u << 20, 0u}) {
    SCOPED_TRACE(size);
    Bytes from = pattern(size, ++seed);
    Bytes into(size + 64);  // NCCL often has more room than it gets.
    void* receive = irecv(into);
    void* send = isend(from);
    expect_done(receive, size);
    expect_done(send, size);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), into.begin()));
    EXPECT_EQ(std::count(into.end() - 64, into.end(), std::byte{0}), 64);
  }
}

TEST_P(NcclPluginTest, ThirtyTwoAreInFlightAndTheNextIsTriedAgain) {
  make_connection();
  std::vector<Bytes> from;
  std::vector<Bytes> into;
  std::deque<void*> sends;
  std::deque<void*> receives;
  for (std::size_t i = 0; i < nccl_abi::kMostRequests; ++i) {
    from.push_back(pattern(70'000 + i, i));
    into.emplace_back(80'000);
    sends.push_back(isend(from.back()));
    ASSERT_NE(sends.back(), nullptr) << i;
  }
  EXPECT_EQ(isend(from[0]), nullptr);  // No error.
  for (Bytes& bytes : into) {
    receives.push_back(irecv(bytes));
    ASSERT_NE(receives.back(), nullptr);
  }
  EXPECT_EQ(irecv(into[0]), nullptr);
  // Newest first: a plugin may not count on an order.
  for (std::size_t i = from.size(); i-- > 0;) {
    expect_done(receives[i], from[i].size());
    expect_done(sends[i], from[i].size());
    EXPECT_TRUE(std::equal(from[i].begin(), from[i].end(), into[i].begin())) << i;
  }
  EXPECT_NE(isend(from[0]), nullptr);
  close_comms();
}

TEST_P(NcclPluginTest, AFlushHasNothingToWaitFor) {
  make_connection();
  Bytes bytes(100);
  auto* request = reinterpret_cast<void*>(nccl_abi::kOptionalReceiveCompletion);
  EXPECT_EQ(api->iflush(recv_comm, bytes.data(), 100, nullptr, &request), ResultCode::kSuccess);
  EXPECT_EQ(request, nullptr);
}

TEST_P(NcclPluginTest, ALongerSendThanTheReceiveIsAnError) {
  make_connection();
  Bytes from = pattern(5000, 1);
  Bytes into(4999);
  void* receive = irecv(into);
  isend(from);
  int size = 0;
  EXPECT_EQ(finish(*api, receive, &size), ResultCode::kInvalidUsage);
  close_comms();
}

TEST_P(NcclPluginTest, WhatItDoesNotDoIsRefused) {
  make_connection();
  Bytes bytes(100);
  void* data[] = {bytes.data(), bytes.data()};
  std::size_t sizes[] = {50, 50};
  void* mrs[] = {nullptr, nullptr};
  void* parents[] = {nullptr, nullptr};
  auto* request = reinterpret_cast<void*>(nccl_abi::kOptionalReceiveCompletion);
  EXPECT_EQ(api->irecv(recv_comm, 2, data, sizes, mrs, parents, &request),
            ResultCode::kInvalidArgument);
  EXPECT_EQ(request, nullptr);
  EXPECT_EQ(api->isend(send_comm, bytes.data(), std::size_t{2} << 30, nullptr, nullptr, &request),
            ResultCode::kInvalidArgument);
  void* mr = nullptr;
  EXPECT_NE(api->reg_mr(send_comm, bytes.data(), 100, nccl_abi::kPointerCuda, &mr),
            ResultCode::kSuccess);
  EXPECT_EQ(mr, nullptr);
}

TEST_P(NcclPluginTest, ASenderMayCloseWithRequestsUnderWay) {
  make_connection();
  Bytes from = pattern(8 << 20, 1);
  Bytes into(8 << 20);
  void* receive = irecv(into);
  for (int i = 0; i < 4; ++i) isend(from);
  close_send();
  // The first may have arrived. The fourth cannot: there was no room for the second.
  int arrived = 0;
  int size = 0;
  while (receive != nullptr && finish(*api, receive, &size) == ResultCode::kSuccess) {
    ++arrived;
    void* data = into.data();
    std::size_t room = into.size();
    void* none = nullptr;
    receive = nullptr;
    api->irecv(recv_comm, 1, &data, &room, &none, &none, &receive);
  }
  EXPECT_LE(arrived, 3);
  close_comms();
}

TEST_P(NcclPluginTest, AReceiverMayCloseWithRequestsUnderWay) {
  make_connection();
  Bytes from = pattern(8 << 20, 1);
  Bytes into(8 << 20);
  irecv(into);
  void* send = nullptr;
  for (int i = 0; i < 4; ++i) send = isend(from);
  close_recv();
  int size = 0;
  EXPECT_EQ(finish(*api, send, &size), ResultCode::kRemoteError);
  // From now on at once.
  EXPECT_EQ(api->isend(send_comm, from.data(), 1, nullptr, nullptr, &send),
            ResultCode::kRemoteError);
  EXPECT_EQ(send, nullptr);
  close_comms();
}

TEST_P(NcclPluginTest, AReceiveWhoseSenderIsGoneIsAnError) {
  make_connection();
  Bytes small(10);
  Bytes large(4 << 20);
  void* first = irecv(small);
  void* second = irecv(large);
  close_send();
  int size = 0;
  EXPECT_EQ(finish(*api, first, &size), ResultCode::kRemoteError);
  EXPECT_EQ(finish(*api, second, &size), ResultCode::kRemoteError);
  close_comms();
}

TEST_P(NcclPluginTest, DeregisteredMemoryIsNotWritten) {
  make_connection();
  Bytes from = pattern(8 << 20, 1);
  Bytes into(8 << 20);
  void* mr = nullptr;
  ASSERT_EQ(api->reg_mr(recv_comm, into.data(), into.size(), nccl_abi::kPointerHost, &mr),
            ResultCode::kSuccess);
  ASSERT_NE(mr, nullptr);
  ASSERT_NE(irecv(into), nullptr);
  ASSERT_NE(isend(from), nullptr);
  ASSERT_EQ(api->dereg_mr(recv_comm, mr), ResultCode::kSuccess);
  Bytes().swap(into);  // NCCL frees it now: a sanitizer sees who still writes.
  close_comms();
}

TEST_P(NcclPluginTest, GarbageIsNoHandle) {
  ASSERT_EQ(rank->init(), ResultCode::kSuccess);
  std::mt19937 random(3);
  for (int i = 0; i < 50; ++i) {
    Handle garbage{};
    if (i > 0) {
      for (std::byte& b : garbage) b = static_cast<std::byte>(random());
    }
    ResultCode code{};
    EXPECT_EQ(rank->connect(garbage, code), nullptr);
    EXPECT_EQ(code, ResultCode::kRemoteError);
  }
}

TEST_P(NcclPluginTest, AHandleWhoseListenerIsGoneIsAnError) {
  ASSERT_EQ(rank->init(), ResultCode::kSuccess);
  Handle handle = rank->listen();
  rank->close_listen();
  ResultCode code{};
  EXPECT_EQ(rank->connect(handle, code), nullptr);
  EXPECT_EQ(code, ResultCode::kRemoteError);
}

TEST_P(NcclPluginTest, StrangersOnThePortHarmNothing) {
  ASSERT_EQ(rank->init(), ResultCode::kSuccess);
  Handle handle = rank->listen();
  const auto decoded = decode_striped_handle(handle);
  ASSERT_TRUE(decoded.ok());
  std::vector<Fd> strangers;
  for (int i = 0; i < 3; ++i) {
    Fd stranger(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const SocketAddress& address = decoded->data.address;
    ASSERT_EQ(::connect(stranger.get(), address.get(), address.length()), 0);
    if (i > 0) ::send(stranger.get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
    strangers.push_back(std::move(stranger));
  }
  ResultCode code{};
  send_comm = rank->connect(handle, code);
  ASSERT_NE(send_comm, nullptr);
  recv_comm = rank->accept(code);
  ASSERT_NE(recv_comm, nullptr);
  Bytes from = pattern(1000, 1);
  Bytes into(1000);
  void* receive = irecv(into);
  expect_done(isend(from), 1000);
  expect_done(receive, 1000);
}

TEST_P(NcclPluginTest, MemoryIsRegisteredWhileMessagesMove) {
  make_connection();
  std::atomic<bool> over{false};
  std::thread service([&] {  // NCCL's service thread, on the same comms.
    Bytes other(4096);
    while (!over) {
      for (void* comm : {send_comm, recv_comm}) {
        void* mr = nullptr;
        EXPECT_EQ(api->reg_mr(comm, other.data(), other.size(), nccl_abi::kPointerHost, &mr),
                  ResultCode::kSuccess);
        EXPECT_EQ(api->dereg_mr(comm, mr), ResultCode::kSuccess);
      }
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 50; ++i) {
    Bytes from = pattern(i % 2 == 0 ? 1000 : 400'000, static_cast<std::uint64_t>(i));
    Bytes into(from.size());
    void* receive = irecv(into);
    expect_done(isend(from), from.size());
    expect_done(receive, from.size());
    EXPECT_TRUE(same_bytes(into, from));
  }
  over = true;
  service.join();
}

// Two ranks in one process, each with its own thread: both directions at once, again and again.
TEST_P(NcclPluginTest, TwoRanksInOneProcess) {
  for (int round = 0; round < 3; ++round) {
    Rank zero(*api);
    Rank one(*api);
    ASSERT_EQ(zero.init(), ResultCode::kSuccess);
    ASSERT_EQ(one.init(), ResultCode::kSuccess);
    Handle to_zero = zero.listen();
    Handle to_one = one.listen();
    const auto run = [&](Rank& self, Handle& other, std::uint64_t seed) {
      ResultCode code{};
      void* out = self.connect(other, code);
      void* in = self.accept(code);
      ASSERT_NE(out, nullptr);
      ASSERT_NE(in, nullptr);
      for (std::uint64_t i = 0; i < 20; ++i) {
        Bytes from = pattern(i * 30'000, seed + i);
        Bytes into(20 * 30'000);
        void* data = into.data();
        std::size_t room = into.size();
        void* mr = nullptr;
        void* parent = nullptr;
        void* receive = nullptr;
        void* send = nullptr;
        ASSERT_EQ(api->irecv(in, 1, &data, &room, &mr, &parent, &receive), ResultCode::kSuccess);
        ASSERT_EQ(api->isend(out, from.data(), from.size(), nullptr, nullptr, &send),
                  ResultCode::kSuccess);
        int size = -1;
        ASSERT_EQ(finish(*api, send, &size), ResultCode::kSuccess);
        ASSERT_EQ(finish(*api, receive, &size), ResultCode::kSuccess);
        ASSERT_EQ(static_cast<std::size_t>(size), from.size());
        into.resize(from.size());
        EXPECT_TRUE(same_bytes(into, pattern(from.size(), 1000 - seed + i)));
      }
      api->close_send(out);
      api->close_recv(in);
    };
    std::thread other([&] { run(one, to_zero, 1000); });
    run(zero, to_one, 0);
    other.join();
  }
}

TEST_P(NcclPluginTest, ManyConnectionsComeAndGo) {
  const std::size_t before = testing::open_descriptors();
  for (int i = 0; i < 30; ++i) {
    make_connection();
    close_send();
    close_recv();
    rank = std::make_unique<Rank>(*api);
  }
  rank.reset();
  EXPECT_EQ(testing::open_descriptors(), before);
}

// What a profiler was told, by the callback below.
struct Told {
  std::set<void*> open;
  std::vector<std::size_t> lengths;
  int wrong = 0;
};
Told told;

ResultCode profiler(void** event, int type, void* parent, std::int64_t plugin, void* description) {
  struct Description {
    std::uint8_t type;
    struct {
      int fd, op;
      std::size_t length;
    } socket;
  };
  if (type == nccl_abi::kProfilerStart) {
    const auto* socket = static_cast<const Description*>(description);
    if (plugin != 0x20001 || socket->type != 1 || socket->socket.fd < 0) ++told.wrong;
    told.lengths.push_back(socket->socket.length);
    *event = parent;
    if (!told.open.insert(parent).second) ++told.wrong;
  } else if (type != nccl_abi::kProfilerStop || told.open.erase(*event) != 1) {
    ++told.wrong;
  }
  return ResultCode::kSuccess;
}

TEST_P(NcclPluginTest, AProfilerIsToldOfEachMessage) {
  told = {};
  make_connection(profiler);
  Bytes from = pattern(300'000, 1);
  Bytes into(400'000);
  int parents[2] = {};
  void* receive = irecv(into, &parents[0]);
  void* send = isend(from, &parents[1]);
  const bool profiles = GetParam() >= 10;
  EXPECT_EQ(told.open.size(), profiles ? 2u : 0u);
  expect_done(send, from.size());
  expect_done(receive, from.size());
  EXPECT_TRUE(told.open.empty());
  EXPECT_EQ(told.wrong, 0);
  const std::vector<std::size_t> lengths = {400'000, 300'000};
  EXPECT_EQ(told.lengths, profiles ? lengths : std::vector<std::size_t>());
  // Without a parent there is nothing to attach an event to.
  receive = irecv(into);
  expect_done(isend(from), from.size());
  expect_done(receive, from.size());
  EXPECT_EQ(told.lengths.size(), profiles ? 2u : 0u);
}

}  // namespace
}  // namespace sluice::nccl_test
