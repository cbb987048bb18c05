// The sending end of a comm that is given memory of the GPU: every message is copied into the
// bounce pool and goes from there into the channel, in the order of posting. While one is in the
// sockets the next is copied. post() and test() belong to the thread of the comm.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "plugins/nccl/byte_ring.h"
#include "plugins/nccl/gpu_pool.h"
#include "src/net/striped/striped_channel.h"

namespace sluice::nccl_plugin {

class StagedSender {
 public:
  // Outlives neither; `channel` is asked nothing when it ends.
  StagedSender(GpuPool::Extent extent, StripedChannel& channel);
  ~StagedSender() { wait_for_copies(); }
  StagedSender(const StagedSender&) = delete;
  StagedSender& operator=(const StagedSender&) = delete;

  enum class From : std::uint8_t { kHost, kGpu };
  // As those of the channel; from the GPU a message has at most largest() bytes.
  PostAnswer post(std::byte* at, std::uint64_t bytes, From from, std::uint32_t& place);
  TestAnswer test(std::uint32_t place, std::uint64_t& bytes);
  [[nodiscard]] Status failure() const;
  [[nodiscard]] std::uint64_t largest() const { return room_.capacity(); }

  // Memory of the GPU that was posted is not read any more. Any thread.
  void wait_for_copies();

 private:
  enum class Step : std::uint8_t { kFree, kCopying, kPosted, kDone };
  struct Message {
    std::byte* at = nullptr;
    std::uint64_t bytes = 0;
    std::uint64_t ticket = 0;  // 0: nothing to copy.
    std::uint32_t place = 0;   // In the channel.
    bool staged = false;       // Has a piece of room_.
    Step step = Step::kFree;
  };
  void advance();

  const GpuPool::Extent extent_;
  StripedChannel& channel_;
  ByteRing room_;
  std::array<Message, StripedChannel::kMostInFlight> messages_;
  std::uint64_t posted_ = 0;
  std::uint64_t handed_ = 0;  // To the channel.
  std::uint64_t freed_ = 0;
  std::atomic<std::uint64_t> last_ticket_{0};
};

}  // namespace sluice::nccl_plugin
