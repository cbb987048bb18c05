// A plugin in the child process of one case, and the two ends of a connection. Everything that is
// unexpected ends the case and its process at once: nothing here is cleaned up.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "src/base/dl.h"
#include "src/net/plugin/device_memory.h"
#include "src/net/plugin/plugin_table.h"
#include "tools/probe/child.h"

namespace sluice::probe {

using nccl_abi::ResultCode;

struct ProbeOptions {
  std::string file;
  int device = 0;
  std::uint32_t comms = 1000;  // For the case that makes many.
};

// NCCL_DYNAMIC_CHUNK_SIZE in all cases but one, and the largest message that TCPX takes well.
inline constexpr std::uint64_t kChunkBytes = 524'288;

class Probe {
 public:
  Probe(const Reporter& reporter, const ProbeOptions& options)
      : reporter_(reporter), options_(options) {}

  // Loads the plugin, takes its newest table and initialises it.
  void load();

  [[nodiscard]] PluginTable& net() { return *table_; }
  [[nodiscard]] const PluginDevice& device() const { return device_; }
  [[nodiscard]] const ProbeOptions& options() const { return options_; }
  [[nodiscard]] const DynamicLibrary& library() const { return *library_; }
  [[nodiscard]] const DeviceMemory& memory() const { return memory_; }
  // Arrivals are fragments, to be put into place by the caller.
  [[nodiscard]] bool unpacks() const { return device_.device_type == nccl_abi::kDeviceUnpack; }
  [[nodiscard]] int memory_type() const {
    return unpacks() ? nccl_abi::kPointerCuda : nccl_abi::kPointerHost;
  }

  void step(const std::string& what) const { reporter_.step(what); }
  [[noreturn]] void pass(std::string seen, nlohmann::json facts = {}) const;
  [[noreturn]] void deviates(std::string seen, std::string consequence) const;
  [[noreturn]] void fails(std::string seen) const;
  // From now on what would be a failure is a deviation with this consequence.
  void tolerate(std::string consequence) { tolerated_ = std::move(consequence); }
  // fails() unless it is success.
  void want(ResultCode code, const char* call) const;

  // Asks again and again; false when `seconds` are over.
  static bool within(double seconds, const std::function<bool()>& done);

  // A process that has loaded nothing yet, with a socket to the other one; it has ended when `run`
  // returns. Before load().
  struct Peer {
    pid_t pid;
    int socket;
  };
  Peer fork_peer(const std::function<void(Probe&, int socket)>& run) const;

 private:
  const Reporter& reporter_;
  const ProbeOptions& options_;
  std::optional<DynamicLibrary> library_;
  std::unique_ptr<PluginTable> table_;
  PluginDevice device_;
  DeviceMemory memory_;
  std::string tolerated_;
};

inline constexpr double kSetUpSeconds = 20;  // TCPX waits 5 s for flow steering by default.
inline constexpr double kArriveSeconds = 20;
inline constexpr double kSilenceSeconds = 3;  // After which nothing is expected to happen any more.

// Whole pages with a byte that cannot be touched behind them.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes);
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_;
  std::size_t bytes_;
};

// Byte `position` of the message `seed`.
[[nodiscard]] std::byte pattern_at(std::size_t position, std::uint64_t seed);

class Sender {
 public:
  Sender(Probe& probe, std::size_t bytes) : probe_(probe), buffer_(bytes) {}
  void begin(std::span<const std::byte> handle);
  // One connect; true once there is a comm.
  bool poll();
  void fill(std::size_t bytes, std::uint64_t seed);
  // As the plugin answers; `request` is its answer.
  ResultCode try_post(std::size_t bytes, void*& request);
  // Until it is taken.
  void* post(std::size_t bytes);
  bool done(void* request);  // fails() on an error.
  void close();
  [[nodiscard]] void* comm() const { return comm_; }
  [[nodiscard]] const Buffer& buffer() const { return buffer_; }

 private:
  Probe& probe_;
  Buffer buffer_;
  // Zero at first and always at the same place: plugins keep state in it.
  std::array<std::byte, nccl_abi::kHandleBytes>* handle_ = nullptr;
  void* comm_ = nullptr;
  void* memory_ = nullptr;
};

class Receiver {
 public:
  Receiver(Probe& probe, std::size_t bytes) : probe_(probe), buffer_(bytes) {}
  void listen();
  [[nodiscard]] std::span<const std::byte> handle() const { return *handle_; }
  // One accept; true once there is a comm.
  bool poll();
  // Posts room for `bytes` that ends where the buffer's guard begins.
  ResultCode try_post(std::size_t bytes, void*& request);
  void* post(std::size_t bytes);
  // fails() on an error. `size` as the plugin writes it, or kUnwritten.
  bool done(void* request, int& size);
  // The oldest done receive that is not collected: puts its fragments into place, and checks them
  // and every byte. Consumes it, unless that is left for later.
  void collect(void* request, std::size_t room, std::size_t bytes, std::uint64_t seed);
  void unpack(std::uint64_t number, std::size_t room, std::size_t bytes);
  void consume(void* request);
  [[nodiscard]] std::uint64_t collected() const { return collected_; }
  void check(std::size_t room, std::size_t bytes, std::uint64_t seed);
  [[nodiscard]] const nccl_abi::UnpackMeta* meta() const { return device_.meta; }
  void close();
  void close_listen();
  [[nodiscard]] void* comm() const { return comm_; }
  [[nodiscard]] void* listen_comm() const { return listen_comm_; }
  [[nodiscard]] const Buffer& buffer() const { return buffer_; }

  static constexpr int kUnwritten = -77;

 private:
  [[nodiscard]] std::byte* place(std::size_t room) const {
    return buffer_.data() + buffer_.bytes() - room;
  }
  Probe& probe_;
  Buffer buffer_;
  std::array<std::byte, nccl_abi::kHandleBytes>* handle_ = nullptr;
  nccl_abi::DeviceHandle* storage_ = nullptr;
  nccl_abi::UnpackDeviceHandle device_{};
  void* listen_comm_ = nullptr;
  void* comm_ = nullptr;
  void* memory_ = nullptr;
  std::uint64_t collected_ = 0;
};

// Both ends in one process.
struct Link {
  Sender sender;
  Receiver receiver;

  // Connected; fails() if that takes too long.
  Link(Probe& probe, std::size_t bytes);
  // One message there: posts, waits for both, collects. The size that was told, or kUnwritten.
  int exchange(std::size_t bytes, std::size_t room, std::uint64_t seed);

 private:
  Probe& probe_;
};

}  // namespace sluice::probe
