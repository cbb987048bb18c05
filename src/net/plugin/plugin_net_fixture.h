// A plugin Net over tables that live in the test, and a channel of it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "src/net/plugin/fake_plugin_fixture.h"
#include "src/net/plugin/plugin_net.h"

namespace sluice {

using fake::ResultCode;
using fake::state;

template <int kVersion>
LoadedPlugin loaded(const typename PluginAbi<kVersion>::Table& raw) {
  LoadedPlugin plugin;
  plugin.file = "in this test";
  plugin.table = adapt_plugin_table(kVersion, &raw).take();
  plugin.devices = 2;
  plugin.dynamic_chunk_bytes = plugin.table->wants_consumed() ? 512 << 10 : 0;
  return plugin;
}

inline std::ptrdiff_t calls_of(const std::string& name) {
  return std::count(state().calls.begin(), state().calls.end(), name);
}

class PluginNetTest : public testing::Test {
 protected:
  static constexpr int kVersion = 7;

  void SetUp() override {
    state() = {};
    bytes.resize(64 << 10);
    options.stall_timeout = from_ms(1000);
  }
  void TearDown() override {
    sender.reset();
    receiver.reset();
    listener.reset();
    connector.reset();
    memory.reset();
    net.reset();
    EXPECT_EQ(calls_of("close again"), 0);
    EXPECT_EQ(calls_of("deregMr of a stranger"), 0);
    EXPECT_TRUE(state().registered.empty());
  }

  void make_net() { make_net<kVersion>(raw); }
  template <int kOther>
  void make_net(const typename PluginAbi<kOther>::Table& table) {
    auto made = PluginNet::create(loaded<kOther>(table), options, clock);
    ASSERT_TRUE(made.ok()) << made.status().to_string();
    net = made.take();
    memory = net->register_memory(bytes, options.gpu ? Memory::kCuda : Memory::kHost).take();
  }
  void make_unpacking_net() {
    state().device_type = nccl_abi::kDeviceUnpack;
    state().device_version = nccl_abi::kUnpackVersion;
    pool.assign(16 * 4096, std::byte{1});
    meta = std::make_unique<nccl_abi::UnpackMeta>();
    state().unpack = {meta.get(), pool.data(), ~0ull};
    make_net();
  }
  void make_channels() {
    listener = net->listen(0, "").take();
    connector = net->connect(0, listener->handle()).take();
    Status failure;
    ASSERT_EQ(connector->connect(sender, failure), MakeAnswer::kMade) << failure.to_string();
    ASSERT_EQ(listener->accept(receiver, failure), MakeAnswer::kMade) << failure.to_string();
  }
  PostAnswer send(std::uint64_t count = 100) { return sender->post(bytes.data(), count, *memory); }
  PostAnswer recv(std::uint64_t count = 100) {
    return receiver->post(bytes.data(), count, *memory);
  }

  ManualClock clock;
  PluginNetOptions options;
  PluginAbi<kVersion>::Table raw = fake::make_table<kVersion>();
  std::vector<std::byte> bytes;
  std::vector<std::byte> pool;
  std::unique_ptr<nccl_abi::UnpackMeta> meta;
  std::unique_ptr<PluginNet> net;
  std::unique_ptr<NetMemory> memory;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connector> connector;
  std::unique_ptr<SendChannel> sender;
  std::unique_ptr<RecvChannel> receiver;
  Arrival arrival;
};

}  // namespace sluice
