// Drives a TCPX plugin through its v7 table, as an engine would: what the tests here share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "src/net/plugin/abi_v7.h"

namespace sluice::emulator {

// The plugin named by SLUICE_TCPX_PLUGIN, loaded and initialised: once in a process, for the rest
// of its life. NULL if it cannot be used, which fails the test.
const nccl_abi::v7::Table* tcpx_plugin();

// All of them poll until the plugin has an answer; a plugin that has none for ever is ended by the
// test's time limit.

using Handle = std::array<std::byte, nccl_abi::kHandleBytes>;

// One connection's two ends, or one of them. Not copied: the plugin knows where its parts are.
class Connection {
 public:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  void listen();
  void connect_and_accept();
  void connect(const Handle& handle);  // The sending end alone, of a listener in another process.
  void accept();                       // The receiving end alone.
  // Each once; the destructor closes what is open.
  void close_send();
  void close_receive();

  // Registers device memory.
  void register_send(std::span<std::byte> memory);
  void register_receive(std::span<std::byte> memory);

  // NULL if the plugin refuses; `code`, if wanted, says how.
  void* send(std::span<const std::byte> bytes, nccl_abi::ResultCode* code = nullptr);
  void* receive(std::span<std::byte> bytes);
  // True when done; `code` other than success fails unless it is asked for.
  bool test(void* request, nccl_abi::ResultCode* code = nullptr);
  // Puts the fragments of the oldest finished receive into `place`, by copies on the device, and
  // gives the pages back.
  // Returns how many bytes there were; -1 if a fragment does not fit.
  long unpack_and_consume(void* request, std::span<std::byte> place);
  [[nodiscard]] std::uint64_t fragments_seen() const { return fragments_seen_; }
  [[nodiscard]] const Handle& handle() const { return handle_; }

 private:
  bool try_connect();
  bool try_accept();

  Handle handle_{};          // As listen() wrote it, to be handed to others.
  Handle connect_handle_{};  // connect()'s own, at one place until it has answered.
  void* listen_ = nullptr;
  void* send_ = nullptr;
  void* receive_ = nullptr;
  void* send_memory_ = nullptr;
  void* receive_memory_ = nullptr;
  alignas(16) std::array<std::byte, 512> device_handle_{};
  nccl_abi::UnpackDeviceHandle unpack_{};
  std::uint64_t received_ = 0;
  std::uint64_t fragments_seen_ = 0;
};

// The byte at `offset` of message number `message`: no two neighbours are alike.
std::byte pattern(std::uint64_t message, std::size_t offset);

}  // namespace sluice::emulator
