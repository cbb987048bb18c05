// What NCCL calls a comm and a request: a striped channel, and its posted messages. In UNPACK mode
// NCCL's kernels put into place what was received, and memory of the GPU may be sent.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "plugins/nccl/staged_sender.h"
#include "plugins/nccl/unpack_receiver.h"
#include "sluice/status.h"
#include "src/net/plugin/abi.h"
#include "src/net/striped/striped_channel.h"

namespace sluice::nccl_plugin {

// The nearest code; OK is kSuccess.
nccl_abi::ResultCode code_of(const Status& status);

// ncclProfilerNetSockDescr_v1_t: what a profiler is told of a message.
struct ProfilerSocketEvent {
  std::uint8_t type;  // kProfilerSocketEvent
  struct {
    int fd;              // The first socket of the channel.
    int op;              // 0: send, 1: receive
    std::size_t length;  // Of the message, or the room for it.
  } socket;
};
SLUICE_ABI_SIZE(ProfilerSocketEvent, 24);
SLUICE_ABI_OFFSET(ProfilerSocketEvent, socket.fd, 8);
SLUICE_ABI_OFFSET(ProfilerSocketEvent, socket.op, 12);
SLUICE_ABI_OFFSET(ProfilerSocketEvent, socket.length, 16);
inline constexpr std::uint8_t kProfilerSocketEvent = 1;
// (type << 16) | version; type 2 is NCCL's socket transport, whose description this is.
inline constexpr std::int64_t kProfilerSocketPlugin = 2 << 16 | 1;

class Comm;

struct Request {
  Comm* comm = nullptr;
  std::uint32_t place = 0;
  std::uint64_t number = 0;  // Of the message, counted from 0 over those of the comm.
  bool active = false;       // Posted, and test() has not said done.
  void* event = nullptr;     // The profiler's.
};

// What was carried: added to when a comm ends.
struct Carried {
  std::atomic<std::uint64_t> messages{0};
  std::atomic<std::uint64_t> bytes{0};
};

// post(), test() and consumed() are called by one thread at a time, the others by any.
class Comm {
 public:
  enum class Direction : std::uint8_t { kSend, kReceive };
  struct Parts {
    Direction direction = Direction::kSend;
    nccl_abi::ProfilerCallback profiler = nullptr;  // May be null.
    Carried* carried = nullptr;                     // Outlives the comm.
    bool takes_gpu_memory = false;                  // In UNPACK mode.
    std::optional<GpuPool::Extent> unpack_into;     // A receiving comm in UNPACK mode.
  };
  Comm(std::unique_ptr<StripedChannel> channel, Parts parts);
  ~Comm();
  Comm(const Comm&) = delete;
  Comm& operator=(const Comm&) = delete;

  // Of a receiving comm in UNPACK mode.
  void describe(nccl_abi::DeviceHandle& handle) const { unpack_->describe(handle); }

  // Whether memory of the GPU may be registered: NCCL's own buffers, when a connection is made. A
  // user's, which would come later, is refused, which NCCL knows to do without: no kernel would
  // unpack into it.
  [[nodiscard]] bool admit_gpu_memory();
  [[nodiscard]] bool needs_staging() const {
    return direction_ == Direction::kSend && !staged_.has_value();
  }
  // Before the first message.
  void stage_in(GpuPool::Extent extent) { staged_.emplace(std::move(extent), *channel_); }

  // Null: all places, or all of the pool, are taken, which is no error. `parent` is the profiler's,
  // and may be null.
  nccl_abi::ResultCode post(void* data, std::size_t bytes, StagedSender::From from, void* parent,
                            Request** request);
  // `sizes` may be null.
  nccl_abi::ResultCode test(Request& request, int* done, int* sizes);
  // NCCL's kernel is through with a received message. Only in UNPACK mode does that mean anything.
  nccl_abi::ResultCode consumed(const Request& request);
  void withdraw(std::span<const std::byte> memory);

 private:
  PostAnswer post_message(std::byte* data, std::size_t bytes, StagedSender::From from,
                          std::uint32_t& place);
  [[nodiscard]] bool too_long(std::size_t bytes, StagedSender::From from) const;
  [[nodiscard]] Status failure() const;
  void start_event(Request& request, std::size_t bytes, void* parent);
  void stop_event(Request& request);

  const Direction direction_;
  const nccl_abi::ProfilerCallback profiler_;
  Carried& carried_;
  const bool takes_gpu_memory_;
  // Before the channel: its threads, which end with it, use the memory.
  std::optional<UnpackReceiver> unpack_;
  std::optional<StagedSender> staged_;
  const std::unique_ptr<StripedChannel> channel_;
  std::array<Request, StripedChannel::kMostInFlight> requests_;
  std::atomic<bool> posted_{false};
  int gpu_registrations_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace sluice::nccl_plugin
