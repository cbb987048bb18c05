// The stand-in's TCPX profile, driven directly through its v7 table.
#pragma once

#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>

#include "src/net/plugin/abi_v7.h"
#include "tests/tcpx_standin/testing.h"

namespace sluice::standin {

using nccl_abi::ResultCode;
namespace abi = nccl_abi::v7;

inline std::atomic<int> logged_warnings = 0;  // The plugin's logger has no argument of ours.
inline void count_warnings(nccl_abi::DebugLevel level, unsigned long, const char*, int, const char*,
                           ...) {
  if (level == nccl_abi::DebugLevel::kWarn) ++logged_warnings;
}

// The library and its table, which can be initialised once in a process.
struct TcpxLibrary {
  void* library = ::dlopen(SLUICE_STANDIN_TCPX, RTLD_NOW | RTLD_LOCAL);
  const abi::Table* table =
      library == nullptr ? nullptr : static_cast<const abi::Table*>(::dlsym(library, abi::kSymbol));
  static const TcpxLibrary& get() {
    static const TcpxLibrary& library = *[] {
      auto* made = new TcpxLibrary;
      if (made->table == nullptr || made->table->init(count_warnings) != ResultCode::kSuccess) {
        std::abort();
      }
      return made;
    }();
    return library;
  }
};

// A connection, both ends of it in this process, and what is asked of it.
class Pair {
 public:
  const abi::Table& net = *TcpxLibrary::get().table;
  alignas(16) std::array<std::byte, nccl_abi::kHandleBytes> handle{};
  void* listen_comm = nullptr;
  void* send_comm = nullptr;
  void* recv_comm = nullptr;
  nccl_abi::DeviceHandle device_handle{};

  Pair() {
    if (net.listen(0, handle.data(), &listen_comm) != ResultCode::kSuccess) std::abort();
    if (!eventually([&] {
          const bool accepted = accept_once();
          return connect_once() && accepted;
        }))
      std::abort();
  }
  ~Pair() {
    if (send_comm != nullptr) net.close_send(send_comm);
    if (recv_comm != nullptr) net.close_recv(recv_comm);
    net.close_listen(listen_comm);
    for (auto& [comm, memory] : registrations_) net.dereg_mr(comm, memory);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  void close_send() { net.close_send(std::exchange(send_comm, nullptr)); }
  void close_recv() { net.close_recv(std::exchange(recv_comm, nullptr)); }

  void* reg(void* comm, const Pages& pages, int type = nccl_abi::kPointerCuda) {
    void* memory = nullptr;
    EXPECT_EQ(net.reg_mr(comm, pages.data(), static_cast<int>(pages.bytes()), type, &memory),
              ResultCode::kSuccess);
    registrations_.emplace_back(comm, memory);
    return memory;
  }
  ResultCode send(const Pages& from, std::size_t bytes, void** request, void* memory, int tag = 0) {
    return net.isend(send_comm, from.data(), static_cast<int>(bytes), tag, memory, request);
  }
  ResultCode receive(const Pages& into, std::size_t bytes, void** request, void* memory,
                     int tag = 0) {
    void* data = into.data();
    int size = static_cast<int>(bytes);
    return net.irecv(recv_comm, 1, &data, &size, &tag, &memory, request);
  }
  // A test that must be answered with success.
  bool test(void* request) {
    int done = -1;
    EXPECT_EQ(net.test(request, &done, nullptr), ResultCode::kSuccess);
    return done == 1;
  }
  ResultCode test_code(void* request) {
    int done = -1;
    const ResultCode code = net.test(request, &done, nullptr);
    EXPECT_EQ(done == 1 && code != ResultCode::kSuccess, false);
    return code;
  }
  // Both ends, until both are done.
  bool finish(void* sent, void* received) {
    bool send_done = sent == nullptr;
    bool receive_done = received == nullptr;
    return eventually([&] {
      if (!send_done) send_done = test(sent);
      if (!receive_done) receive_done = test(received);
      return send_done && receive_done;
    });
  }
  ResultCode consume(void* request) { return net.irecv_consumed(recv_comm, 1, request); }

  [[nodiscard]] const nccl_abi::UnpackMeta& meta() const { return *device().meta; }
  [[nodiscard]] const nccl_abi::UnpackDeviceHandle& device() const {
    return *static_cast<const nccl_abi::UnpackDeviceHandle*>(device_handle.handle);
  }
  // As the receiver of the k-th request does it; the bytes.
  std::uint64_t unpack(std::uint64_t k, const Pages& into) const {
    const std::uint64_t slot = k % nccl_abi::kUnpackSlots;
    std::uint64_t bytes = 0;
    for (std::uint64_t i = 0; i < meta().counts[slot]; ++i) {
      const nccl_abi::UnpackEntry& entry = meta().entries[slot][i];
      EXPECT_LE(entry.length, nccl_abi::kUnpackPageBytes);
      EXPECT_LE(entry.destination_offset + entry.length, into.bytes());
      std::memcpy(into.data() + entry.destination_offset,
                  static_cast<const std::byte*>(device().bounce_pool) + entry.source_offset,
                  entry.length);
      bytes += entry.length;
    }
    return bytes;
  }

 private:
  bool connect_once() {
    if (send_comm != nullptr) return true;
    EXPECT_EQ(net.connect(0, handle.data(), &send_comm, nullptr), ResultCode::kSuccess);
    return send_comm != nullptr;
  }
  bool accept_once() {
    if (recv_comm != nullptr) return true;
    nccl_abi::DeviceHandle* storage = &device_handle;
    EXPECT_EQ(net.accept(listen_comm, &recv_comm, &storage), ResultCode::kSuccess);
    return recv_comm != nullptr;
  }
  std::vector<std::pair<void*, void*>> registrations_;
};

class TcpxTest : public testing::Test {
 protected:
  TcpxTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  static SluiceStandinCounters count() { return counters(TcpxLibrary::get().library); }

  Variable chunk_{"NCCL_DYNAMIC_CHUNK_SIZE", "524288"};
  Variable step_{"SLUICE_STANDIN_STEP_MS", "1"};
  Variable wait_{"SLUICE_STANDIN_ACCEPT_WAIT_MS", "1"};
};

}  // namespace sluice::standin
