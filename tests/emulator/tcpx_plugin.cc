#include "tests/emulator/tcpx_plugin.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "tests/emulator/device_buffer.h"
#include "tests/emulator/settings.h"

namespace sluice::emulator {
namespace {

using nccl_abi::DebugLevel;
using nccl_abi::ResultCode;

// Of the plugin's lines only its warnings, and of these a few: it repeats some of them for ever.
__attribute__((format(printf, 5, 6))) void log(DebugLevel level, unsigned long, const char*, int,
                                               const char* format, ...) {
  static std::atomic<int> left = 50;
  if (level != DebugLevel::kWarn || --left < 0) return;
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
}

const nccl_abi::v7::Table* load() {
  const std::string path = environment_of("SLUICE_TCPX_PLUGIN");
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    ADD_FAILURE() << ::dlerror();
    return nullptr;
  }
  const auto* table =
      static_cast<const nccl_abi::v7::Table*>(::dlsym(library, nccl_abi::v7::kSymbol));
  if (table == nullptr) {
    ADD_FAILURE() << path << " exports no " << nccl_abi::v7::kSymbol;
    return nullptr;
  }
  use_device();
  EXPECT_EQ(table->init(&log), ResultCode::kSuccess);
  int devices = 0;
  EXPECT_EQ(table->devices(&devices), ResultCode::kSuccess);
  EXPECT_GE(devices, 1);
  return table;
}

}  // namespace

const nccl_abi::v7::Table* tcpx_plugin() {
  static const nccl_abi::v7::Table* const table = load();
  return table;
}

Connection::~Connection() {
  close_send();
  close_receive();
  if (listen_ != nullptr) tcpx_plugin()->close_listen(listen_);
}

void Connection::listen() {
  ASSERT_EQ(tcpx_plugin()->listen(0, handle_.data(), &listen_), ResultCode::kSuccess);
  connect_handle_ = handle_;
}

bool Connection::try_connect() {
  nccl_abi::DeviceHandle* none = nullptr;
  const ResultCode code = tcpx_plugin()->connect(0, connect_handle_.data(), &send_, &none);
  EXPECT_EQ(code, ResultCode::kSuccess);
  return send_ != nullptr || code != ResultCode::kSuccess;
}

bool Connection::try_accept() {
  auto* device_handle = reinterpret_cast<nccl_abi::DeviceHandle*>(device_handle_.data());
  const ResultCode code = tcpx_plugin()->accept(listen_, &receive_, &device_handle);
  EXPECT_EQ(code, ResultCode::kSuccess);
  if (receive_ == nullptr) return code != ResultCode::kSuccess;
  EXPECT_EQ(device_handle->type, nccl_abi::kDeviceUnpack);
  EXPECT_EQ(device_handle->size, sizeof(unpack_));
  copy_from_device(std::as_writable_bytes(std::span(&unpack_, 1)), device_handle->handle);
  return true;
}

void Connection::connect_and_accept() {
  bool connected = false;
  bool accepted = false;
  while (!connected || !accepted) {
    connected = connected || try_connect();
    accepted = accepted || try_accept();
    ::sched_yield();
  }
}

void Connection::connect(const Handle& handle) {
  connect_handle_ = handle;
  while (!try_connect()) ::sched_yield();
}

void Connection::accept() {
  while (!try_accept()) ::sched_yield();
}

void Connection::close_send() {
  if (send_ == nullptr) return;
  tcpx_plugin()->dereg_mr(send_, std::exchange(send_memory_, nullptr));
  EXPECT_EQ(tcpx_plugin()->close_send(std::exchange(send_, nullptr)), ResultCode::kSuccess);
}

void Connection::close_receive() {
  if (receive_ == nullptr) return;
  tcpx_plugin()->dereg_mr(receive_, std::exchange(receive_memory_, nullptr));
  EXPECT_EQ(tcpx_plugin()->close_recv(std::exchange(receive_, nullptr)), ResultCode::kSuccess);
}

void Connection::register_send(std::span<std::byte> memory) {
  ASSERT_EQ(tcpx_plugin()->reg_mr(send_, memory.data(), static_cast<int>(memory.size()),
                                  nccl_abi::kPointerCuda, &send_memory_),
            ResultCode::kSuccess);
}

void Connection::register_receive(std::span<std::byte> memory) {
  ASSERT_EQ(tcpx_plugin()->reg_mr(receive_, memory.data(), static_cast<int>(memory.size()),
                                  nccl_abi::kPointerCuda, &receive_memory_),
            ResultCode::kSuccess);
}

void* Connection::send(std::span<const std::byte> bytes, ResultCode* code) {
  void* request = nullptr;
  const ResultCode result =
      tcpx_plugin()->isend(send_, const_cast<std::byte*>(bytes.data()),
                           static_cast<int>(bytes.size()), 0, send_memory_, &request);
  if (code != nullptr) {
    *code = result;
  } else {
    EXPECT_EQ(result, ResultCode::kSuccess);
  }
  return request;
}

void* Connection::receive(std::span<std::byte> bytes) {
  void* request = nullptr;
  void* data = bytes.data();
  int size = static_cast<int>(bytes.size());
  int tag = 0;
  EXPECT_EQ(tcpx_plugin()->irecv(receive_, 1, &data, &size, &tag, &receive_memory_, &request),
            ResultCode::kSuccess);
  return request;
}

bool Connection::test(void* request, ResultCode* code) {
  int done = 0;
  std::array<int, nccl_abi::kTestSizes> sizes{};
  const ResultCode result = tcpx_plugin()->test(request, &done, sizes.data());
  if (code != nullptr) {
    *code = result;
  } else {
    EXPECT_EQ(result, ResultCode::kSuccess);
  }
  return done != 0;
}

long Connection::unpack_and_consume(void* request, std::span<std::byte> place) {
  const std::uint64_t slot = received_++ % nccl_abi::kUnpackSlots;
  const std::uint64_t count = unpack_.meta->counts[slot];
  EXPECT_LE(count, nccl_abi::kUnpackEntries);
  long bytes = 0;
  for (std::uint64_t i = 0; i < count && bytes >= 0; ++i) {
    const nccl_abi::UnpackEntry& entry = unpack_.meta->entries[slot][i];
    if (entry.destination_offset > place.size() ||
        entry.length > place.size() - entry.destination_offset) {
      bytes = -1;
      break;
    }
    copy_on_device(place.data() + entry.destination_offset,
                   static_cast<const std::byte*>(unpack_.bounce_pool) + entry.source_offset,
                   entry.length);
    bytes += entry.length;
  }
  fragments_seen_ += count;
  EXPECT_EQ(tcpx_plugin()->irecv_consumed(receive_, 1, request), ResultCode::kSuccess);
  return bytes;
}

std::byte pattern(std::uint64_t message, std::size_t offset) {
  return static_cast<std::byte>(offset * 131 + (offset >> 8) * 7 + message * 17 + 1);
}

}  // namespace sluice::emulator
