// Listeners and connectors of a plugin Net: what polls a plugin's accept() and connect().
//
// A plugin may work on a connection in threads of its own that nothing can stop, and write what it
// finds into memory that it was given: the handle of connect(), the device handle of accept(). So
// that memory belongs to a making, which outlives its Listener or Connector until the plugin has
// given its last word (PluginContext::unfinished).
#pragma once

#include <memory>

#include "src/net/net.h"
#include "src/net/plugin/plugin_context.h"
#include "src/net/plugin/plugin_handle.h"

namespace sluice {

// One connection that is being accepted. accept() is called for one answer, never again after it.
class Accepting final : public UnfinishedMaking {
 public:
  static Result<std::shared_ptr<Accepting>> listen(PluginContext& context, int device);
  ~Accepting() override;

  [[nodiscard]] const PluginHandle& handle() const { return handle_; }
  MakeAnswer poll(void** comm, Status& failure);
  bool finish() override;
  // The plugin has been asked and has not answered.
  [[nodiscard]] bool is_pending() const { return asked_ && !answered_; }
  // Where an unpacking plugin has written what its channel needs.
  [[nodiscard]] const nccl_abi::DeviceHandle& device_handle() const { return storage_.handle; }
  [[nodiscard]] PluginContext& context() const { return context_; }

 private:
  explicit Accepting(PluginContext& context) : context_(context) {}

  PluginContext& context_;
  alignas(16) PluginHandle handle_{};
  // More than the interface's 32 bytes: who writes more must find room.
  union alignas(16) Storage {
    nccl_abi::DeviceHandle handle;
    std::byte room[512];
  } storage_{.room = {}};
  void* listen_comm_ = nullptr;
  bool asked_ = false;
  bool answered_ = false;
};

// One connection that is being made. `handle` stays in its place, writable, until the answer.
class Connecting final : public UnfinishedMaking {
 public:
  Connecting(PluginContext& context, int device, const PluginHandle& handle)
      : context_(context), device_(device), handle_(handle) {}

  MakeAnswer poll(void** comm, Status& failure);
  bool finish() override;
  [[nodiscard]] bool is_pending() const { return asked_ && !answered_; }
  [[nodiscard]] PluginContext& context() const { return context_; }

 private:
  PluginContext& context_;
  const int device_;
  alignas(16) PluginHandle handle_;
  bool asked_ = false;
  bool answered_ = false;
};

class PluginListener final : public Listener {
 public:
  explicit PluginListener(std::shared_ptr<Accepting> accepting);
  ~PluginListener() override;
  [[nodiscard]] std::span<const std::byte> handle() const override { return handle_; }
  MakeAnswer accept(std::unique_ptr<RecvChannel>& channel, Status& failure) override;

 private:
  std::shared_ptr<Accepting> accepting_;
  const WrappedHandle handle_;
};

class PluginConnector final : public Connector {
 public:
  explicit PluginConnector(std::shared_ptr<Connecting> connecting)
      : connecting_(std::move(connecting)) {}
  ~PluginConnector() override;
  MakeAnswer connect(std::unique_ptr<SendChannel>& channel, Status& failure) override;

 private:
  std::shared_ptr<Connecting> connecting_;
};

}  // namespace sluice
