// The stand-in's HOST profile, through the table of each version.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "src/net/plugin/abi_v10.h"
#include "src/net/plugin/abi_v12.h"
#include "src/net/plugin/abi_v6.h"
#include "src/net/plugin/abi_v7.h"
#include "src/net/plugin/abi_v8.h"
#include "tests/tcpx_standin/host_connection.h"
#include "tests/tcpx_standin/testing.h"

namespace sluice::standin {
namespace {

namespace na = nccl_abi;

template <typename TableType, typename PropertiesType, int kNumber>
struct Version {
  using Table = TableType;
  using Properties = PropertiesType;
  static constexpr int kVersion = kNumber;
};
using V5 = Version<na::v5::Table, na::v5::Properties, 5>;
using V6 = Version<na::v6::Table, na::v6::Properties, 6>;
using V7 = Version<na::v7::Table, na::v7::Properties, 7>;
using V8 = Version<na::v8::Table, na::v8::Properties, 8>;
using V9 = Version<na::v9::Table, na::v9::Properties, 9>;
using V10 = Version<na::v10::Table, na::v10::Properties, 10>;
using V11 = Version<na::v11::Table, na::v11::Properties, 11>;
using V12 = Version<na::v12::Table, na::v12::Properties, 12>;

void no_log(na::DebugLevel, unsigned long, const char*, int, const char*, ...) {}

// The calls that differ, called as each version wants it.
template <typename V>
struct Caller {
  void* library = nullptr;
  const typename V::Table* table = nullptr;
  void* context = nullptr;

  Caller() {
    const std::string number = std::to_string(V::kVersion);
    const std::string path = SLUICE_STANDIN_HOST "/libnccl-net-standin-v" + number + ".so";
    library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) std::abort();
    table = static_cast<const typename V::Table*>(
        ::dlsym(library, ("ncclNetPlugin_v" + number).c_str()));
    if constexpr (V::kVersion >= 11) {
      table->init(&context, 1, nullptr, no_log, nullptr);
    } else if constexpr (V::kVersion == 10) {
      table->init(no_log, nullptr);
    } else {
      table->init(no_log);
    }
  }
  ResultCode listen(void* handle, void** comm) {
    if constexpr (V::kVersion >= 11) {
      return table->listen(context, 0, handle, comm);
    } else {
      return table->listen(0, handle, comm);
    }
  }
  ResultCode connect(void* handle, void** comm) {
    if constexpr (V::kVersion >= 11) {
      return table->connect(context, 0, handle, comm, nullptr);
    } else if constexpr (V::kVersion == 10) {
      return table->connect(0, nullptr, handle, comm, nullptr);
    } else if constexpr (V::kVersion >= 7) {
      return table->connect(0, handle, comm, nullptr);
    } else {
      return table->connect(0, handle, comm);
    }
  }
  ResultCode accept(void* listen_comm, void** comm) {
    if constexpr (V::kVersion >= 7) {
      return table->accept(listen_comm, comm, nullptr);
    } else {
      return table->accept(listen_comm, comm);
    }
  }
  ResultCode isend(void* comm, const Pages& from, std::size_t bytes, void** request) {
    if constexpr (V::kVersion >= 10) {
      return table->isend(comm, from.data(), bytes, 0, nullptr, nullptr, request);
    } else if constexpr (V::kVersion == 9) {
      return table->isend(comm, from.data(), bytes, 0, nullptr, request);
    } else {
      return table->isend(comm, from.data(), static_cast<int>(bytes), 0, nullptr, request);
    }
  }
  ResultCode irecv(void* comm, const Pages& into, std::size_t bytes, void** request) {
    void* data = into.data();
    int tag = 0;
    void* memory = nullptr;
    if constexpr (V::kVersion >= 10) {
      return table->irecv(comm, 1, &data, &bytes, &tag, &memory, nullptr, request);
    } else if constexpr (V::kVersion == 9) {
      return table->irecv(comm, 1, &data, &bytes, &tag, &memory, request);
    } else {
      int size = static_cast<int>(bytes);
      return table->irecv(comm, 1, &data, &size, &tag, &memory, request);
    }
  }
};

template <typename V>
class HostTest : public testing::Test {
 protected:
  void open() {
    ASSERT_EQ(net_.listen(handle_.data(), &listen_comm_), ResultCode::kSuccess);
    ASSERT_TRUE(eventually([&] {
      if (send_comm_ == nullptr) {
        EXPECT_EQ(net_.connect(handle_.data(), &send_comm_), ResultCode::kSuccess);
      }
      if (recv_comm_ == nullptr) {
        EXPECT_EQ(net_.accept(listen_comm_, &recv_comm_), ResultCode::kSuccess);
      }
      return send_comm_ != nullptr && recv_comm_ != nullptr;
    }));
  }
  void close_send() { net_.table->close_send(std::exchange(send_comm_, nullptr)); }
  void close_recv() { net_.table->close_recv(std::exchange(recv_comm_, nullptr)); }
  ~HostTest() override {
    if (send_comm_ != nullptr) close_send();
    if (recv_comm_ != nullptr) close_recv();
    if (listen_comm_ != nullptr) net_.table->close_listen(listen_comm_);
  }
  void* send(std::size_t bytes) {
    void* request = nullptr;
    EXPECT_EQ(net_.isend(send_comm_, from_, bytes, &request), ResultCode::kSuccess);
    return request;
  }
  void* receive(std::size_t bytes) {
    void* request = nullptr;
    EXPECT_EQ(net_.irecv(recv_comm_, into_, bytes, &request), ResultCode::kSuccess);
    return request;
  }
  ResultCode test(void* request, bool& done, int* size = nullptr) {
    int told = 0;
    const ResultCode code = net_.table->test(request, &told, size);
    done = told == 1;
    return code;
  }
  bool finish(void* sent, void* received, int* size) {
    bool send_done = sent == nullptr;
    bool receive_done = received == nullptr;
    return eventually([&] {
      if (!send_done && test(sent, send_done) != ResultCode::kSuccess) return false;
      if (receive_done) return send_done;
      if (test(received, receive_done, size) != ResultCode::kSuccess) return false;
      return send_done && receive_done;
    });
  }
  ResultCode code_of(void* request) {
    bool done = false;
    return test(request, done);
  }

  Caller<V> net_;
  std::array<std::byte, na::kHandleBytes> handle_{};
  void* listen_comm_ = nullptr;
  void* send_comm_ = nullptr;
  void* recv_comm_ = nullptr;
  Pages from_{4 << 20};
  Pages into_{4 << 20};
};
using Versions = testing::Types<V5, V6, V7, V8, V9, V10, V11, V12>;
TYPED_TEST_SUITE(HostTest, Versions);

TYPED_TEST(HostTest, DescribesItself) {
  typename TypeParam::Properties properties;
  ASSERT_EQ(this->net_.table->get_properties(0, &properties), ResultCode::kSuccess);
  EXPECT_EQ(properties.pointer_support, na::kPointerHost);
  EXPECT_EQ(properties.most_receives, 1);
  EXPECT_EQ(this->net_.table->get_properties(1, &properties), ResultCode::kInvalidArgument);
}

TYPED_TEST(HostTest, MessagesArriveInPlaceWithTheirSize) {
  this->open();
  this->from_.fill(5);
  for (const std::size_t bytes : {0u, 1u, 4095u, 4097u, 524'288u, 4u << 20}) {
    std::memset(this->into_.data(), 0, this->into_.bytes());
    void* received = this->receive(this->into_.bytes());
    void* sent = this->send(bytes);
    int size = -1;
    ASSERT_TRUE(this->finish(sent, received, &size));
    EXPECT_EQ(size, static_cast<int>(bytes));
    EXPECT_EQ(this->into_.matches(5, bytes), bytes);
  }
}

TYPED_TEST(HostTest, ThirtyTwoRequestsInAnyOrderAndThenNone) {
  this->open();
  std::array<void*, 32> sends{};
  std::array<void*, 32> receives{};
  for (std::size_t i = 0; i < 32; ++i) {
    receives[i] = this->receive(64);
    sends[i] = this->send(i);
    ASSERT_NE(receives[i], nullptr);
    ASSERT_NE(sends[i], nullptr);
  }
  EXPECT_EQ(this->send(0), nullptr);
  EXPECT_EQ(this->receive(0), nullptr);
  for (std::size_t i = 32; i > 0; --i) {
    int size = -1;
    ASSERT_TRUE(this->finish(sends[i - 1], receives[i - 1], &size));
    EXPECT_EQ(size, static_cast<int>(i - 1));
  }
  EXPECT_NE(this->send(0), nullptr);
}

TYPED_TEST(HostTest, ALongerMessageIsAnError) {
  this->open();
  void* received = this->receive(64);
  this->send(65);
  EXPECT_TRUE(eventually([&] { return this->code_of(received) == ResultCode::kInvalidUsage; }));
}

TYPED_TEST(HostTest, APeerThatIsGoneIsAnErrorAtBothEnds) {
  this->open();
  void* received = this->receive(64);
  this->close_send();
  EXPECT_TRUE(eventually([&] { return this->code_of(received) == ResultCode::kRemoteError; }));
}

TYPED_TEST(HostTest, AReceiverThatIsGoneIsAnErrorAndNoSignal) {
  this->open();
  this->close_recv();
  EXPECT_TRUE(eventually([&] {
    void* request = nullptr;
    return this->net_.isend(this->send_comm_, this->from_, 1, &request) ==
               ResultCode::kRemoteError ||
           this->code_of(request) == ResultCode::kRemoteError;
  }));
}

TYPED_TEST(HostTest, AForgedHandleIsAnError) {
  std::array<std::byte, na::kHandleBytes> handle;
  void* comm = nullptr;
  handle.fill(std::byte{0x5A});
  EXPECT_NE(this->net_.connect(handle.data(), &comm), ResultCode::kSuccess);
  handle.fill(std::byte{0});
  EXPECT_NE(this->net_.connect(handle.data(), &comm), ResultCode::kSuccess);
}

TYPED_TEST(HostTest, AStrangerDoesNotTakeTheConnection) {
  ASSERT_EQ(this->net_.listen(this->handle_.data(), &this->listen_comm_), ResultCode::kSuccess);
  HostHandle handle;
  std::memcpy(&handle, this->handle_.data(), sizeof(handle));
  const Socket silent = connect_to(handle.address, 1);
  const Socket loud = connect_to(handle.address, 1);
  ASSERT_TRUE(silent.valid());
  const char request[] = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
  ASSERT_TRUE(send_all(loud.get(), request, sizeof(request)));
  EXPECT_TRUE(never([&] {
    EXPECT_EQ(this->net_.accept(this->listen_comm_, &this->recv_comm_), ResultCode::kSuccess);
    return this->recv_comm_ != nullptr;
  }));
  EXPECT_TRUE(eventually([&] {
    if (this->send_comm_ == nullptr) {
      EXPECT_EQ(this->net_.connect(this->handle_.data(), &this->send_comm_), ResultCode::kSuccess);
    }
    EXPECT_EQ(this->net_.accept(this->listen_comm_, &this->recv_comm_), ResultCode::kSuccess);
    return this->recv_comm_ != nullptr;
  }));
}

TYPED_TEST(HostTest, Faults) {
  {
    const WithFault fault("send-stall:1,recv-busy:2,recv-error:1");
    this->open();
  }
  void* received = this->receive(64);
  EXPECT_EQ(this->receive(64), nullptr);
  int size = 0;
  ASSERT_TRUE(this->finish(this->send(1), received, &size));
  void* stalled = this->send(1);
  EXPECT_TRUE(never([&] {
    bool done = false;
    EXPECT_EQ(this->test(stalled, done), ResultCode::kSuccess);
    return done;
  }));
  EXPECT_EQ(this->code_of(this->receive(64)), ResultCode::kSystemError);
}

}  // namespace
}  // namespace sluice::standin
