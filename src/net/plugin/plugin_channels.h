// The channels of a plugin Net: a comm each, and the requests that are posted on it, oldest first.
//
// What a plugin does not promise is kept here: never more requests than its window, never a test of
// anything but the oldest, never a call on a comm that has failed. A comm that fails is closed at
// once, because that alone makes the plugin let go of the memory; then every posted chunk fails.
// Only where fragments are still being unpacked, and the memory is not the plugin's to write, it is
// closed when the last of them is consumed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "src/net/net.h"
#include "src/net/plugin/plugin_context.h"
#include "src/net/plugin/plugin_memory.h"
#include "src/net/plugin/unpack_queue.h"

namespace sluice {

// The open comm of a channel, and what has become of it.
class PluginComm {
 public:
  PluginComm(PluginContext& context, void* comm, bool receives);
  ~PluginComm() { close(); }
  PluginComm(const PluginComm&) = delete;
  PluginComm& operator=(const PluginComm&) = delete;

  // Calls may be made on it.
  [[nodiscard]] bool is_usable() const { return failure_.ok(); }
  [[nodiscard]] const CommRef& ref() const { return ref_; }
  [[nodiscard]] PluginContext& context() const { return context_; }
  [[nodiscard]] const Status& failure() const { return failure_; }

  // The first failure counts; closes the comm, as soon as nothing holds it.
  void fail(Status status);
  void fail(std::string_view call, nccl_abi::ResultCode code);
  // kClosed if nothing had failed.
  void abort();

  // Tells of a chunk that was tested and is still pending: fails the comm when nothing has moved
  // for the stall timeout. For a silent plugin this is the only end.
  void still_pending();
  void moved() { waiting_since_ = 0; }

  // An arrival in the bounce pool holds the comm open until it is released.
  void hold() { ++held_; }
  void release();

 private:
  void close();

  PluginContext& context_;
  CommRef ref_;
  Status failure_;
  Nanoseconds waiting_since_ = 0;  // 0: something has moved.
  Nanoseconds last_look_ = 0;
  std::uint32_t tests_ = 0;
  std::uint32_t held_ = 0;
};

class PluginSendChannel final : public SendChannel {
 public:
  PluginSendChannel(PluginContext& context, void* comm) : comm_(context, comm, false) {}

  PostAnswer post(const std::byte* from, std::uint64_t bytes, NetMemory& memory) override;
  TestAnswer test_oldest() override;
  void abort() override { comm_.abort(); }
  [[nodiscard]] Status failure() const override { return comm_.failure(); }

 private:
  PluginComm comm_;
  std::array<void*, nccl_abi::kMostRequests> requests_{};
  std::uint64_t posted_ = 0;
  std::uint64_t tested_ = 0;
};

class PluginRecvChannel final : public RecvChannel {
 public:
  // `unpack` is nullptr for a plugin that delivers in place.
  PluginRecvChannel(PluginContext& context, void* comm, std::unique_ptr<UnpackQueue> unpack)
      : comm_(context, comm, true), unpack_(std::move(unpack)) {}

  PostAnswer post(std::byte* into, std::uint64_t bytes, NetMemory& memory) override;
  TestAnswer test_oldest(Arrival& arrival) override;
  void consume_oldest() override;
  void abort() override { comm_.abort(); }
  [[nodiscard]] Status failure() const override { return comm_.failure(); }

 private:
  struct Posted {
    void* request = nullptr;
    std::uint64_t bytes = 0;
  };
  Status take(const Posted& oldest, int size, Arrival& arrival);

  PluginComm comm_;
  const std::unique_ptr<UnpackQueue> unpack_;
  std::array<Posted, nccl_abi::kMostRequests> requests_{};
  // consumed <= tested <= posted, over all chunks of the channel.
  std::uint64_t posted_ = 0;
  std::uint64_t tested_ = 0;
  std::uint64_t consumed_ = 0;  // Of what was Done.
};

}  // namespace sluice
