// One or two ranks over the plugin in one process, and the calls that NCCL repeats until they
// answer.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "src/net/tcp/testing.h"
#include "tests/nccl_plugin/nccl_api.h"

namespace sluice::nccl_test {

using testing::eventually;
using Bytes = std::vector<std::byte>;
using Handle = std::array<std::byte, nccl_abi::kHandleBytes>;

// A rank's side of the plugin: its context and what it makes.
class Rank {
 public:
  explicit Rank(Api& api) : api_(api) {}
  ~Rank() {
    if (listening_ != nullptr) api_.close_listen(listening_);
    if (context_ != nullptr) api_.finalize(context_);
  }
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  ResultCode init(nccl_abi::DebugLogger logger = nullptr,
                  nccl_abi::ProfilerCallback profiler = nullptr) {
    return api_.init(&context_, logger, profiler);
  }
  Handle listen() {
    Handle handle{};
    EXPECT_EQ(api_.listen(context_, 0, handle.data(), &listening_), ResultCode::kSuccess);
    EXPECT_NE(listening_, nullptr);
    return handle;
  }
  // The comm, or null and the error in `code`.
  void* connect(Handle& handle, ResultCode& code) {
    void* comm = nullptr;
    EXPECT_TRUE(eventually([&] {
      code = api_.connect(context_, 0, handle.data(), &comm);
      return code != ResultCode::kSuccess || comm != nullptr;
    }));
    return comm;
  }
  void* accept(ResultCode& code) {
    void* comm = nullptr;
    EXPECT_TRUE(eventually([&] {
      code = api_.accept(listening_, &comm);
      return code != ResultCode::kSuccess || comm != nullptr;
    }));
    return comm;
  }
  void close_listen() {
    EXPECT_EQ(api_.close_listen(listening_), ResultCode::kSuccess);
    listening_ = nullptr;
  }
  [[nodiscard]] void* context() const { return context_; }
  [[nodiscard]] void* listening() const { return listening_; }

 private:
  Api& api_;
  void* context_ = nullptr;
  void* listening_ = nullptr;
};

// test() until done or an error.
inline ResultCode finish(Api& api, void* request, int* size) {
  ResultCode code = ResultCode::kSuccess;
  EXPECT_TRUE(eventually([&] {
    int done = -1;
    // As many as NCCL gives for a receive: a plugin may write no more than it received.
    std::array<int, nccl_abi::kTestSizes> sizes{};
    code = api.test(request, &done, sizes.data());
    if (done == 1) *size = sizes[0];
    return code != ResultCode::kSuccess || done == 1;
  }));
  return code;
}

// A rank that sends to itself, with the ends of one connection.
class NcclPluginTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Api> api;
  std::unique_ptr<Rank> rank;
  void* send_comm = nullptr;
  void* recv_comm = nullptr;

  void SetUp() override {
    api = Api::open(GetParam());
    ASSERT_NE(api, nullptr);
    rank = std::make_unique<Rank>(*api);
  }
  void TearDown() override { close_comms(); }
  // A test that leaves requests under way calls it before their memory goes.
  void close_comms() {
    close_send();
    close_recv();
  }
  void close_send() {
    EXPECT_EQ(api->close_send(send_comm), ResultCode::kSuccess);  // Null harms nothing.
    send_comm = nullptr;
  }
  void close_recv() {
    EXPECT_EQ(api->close_recv(recv_comm), ResultCode::kSuccess);  // Null harms nothing.
    recv_comm = nullptr;
  }
  void make_connection(nccl_abi::ProfilerCallback profiler = nullptr) {
    ASSERT_EQ(rank->init(nullptr, profiler), ResultCode::kSuccess);
    Handle handle = rank->listen();
    ResultCode code{};
    send_comm = rank->connect(handle, code);
    ASSERT_NE(send_comm, nullptr);
    recv_comm = rank->accept(code);
    ASSERT_NE(recv_comm, nullptr);
    rank->close_listen();
  }
  void* isend(Bytes& bytes, void* parent = nullptr) {
    void* request = nullptr;
    EXPECT_EQ(api->isend(send_comm, bytes.data(), bytes.size(), nullptr, parent, &request),
              ResultCode::kSuccess);
    return request;
  }
  void* irecv(Bytes& bytes, void* parent = nullptr) {
    // What NCCL of v9 and later leaves there.
    auto* request = reinterpret_cast<void*>(nccl_abi::kOptionalReceiveCompletion);
    void* data = bytes.data();
    std::size_t size = bytes.size();
    void* mr = nullptr;
    EXPECT_EQ(api->irecv(recv_comm, 1, &data, &size, &mr, &parent, &request), ResultCode::kSuccess);
    return request;
  }
  void expect_done(void* request, std::size_t size) {
    ASSERT_NE(request, nullptr);
    int moved = -1;
    ASSERT_EQ(finish(*api, request, &moved), ResultCode::kSuccess);
    EXPECT_EQ(static_cast<std::size_t>(moved), size);
  }
};

}  // namespace sluice::nccl_test
