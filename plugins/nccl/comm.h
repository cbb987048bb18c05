// What NCCL calls a comm and a request: a striped channel, and its posted messages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

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
  bool active = false;    // Posted, and test() has not said done.
  void* event = nullptr;  // The profiler's.
};

// post() and test() are called by one thread at a time, withdraw() by any.
class Comm {
 public:
  enum class Direction : std::uint8_t { kSend, kReceive };

  // `profiler` may be null.
  Comm(std::unique_ptr<StripedChannel> channel, Direction direction,
       nccl_abi::ProfilerCallback profiler);

  // Null: all places are taken, which is no error. `parent` is the profiler's, and may be null.
  nccl_abi::ResultCode post(void* data, std::size_t bytes, void* parent, Request** request);
  // `sizes` may be null.
  nccl_abi::ResultCode test(Request& request, int* done, int* sizes);
  void withdraw(std::span<const std::byte> memory) { channel_->withdraw(memory); }

 private:
  void start_event(Request& request, std::size_t bytes, void* parent);
  void stop_event(Request& request);

  const std::unique_ptr<StripedChannel> channel_;
  const Direction direction_;
  const nccl_abi::ProfilerCallback profiler_;
  std::array<Request, StripedChannel::kMostInFlight> requests_;
};

}  // namespace sluice::nccl_plugin
