// What a plugin sees of the Net: its devices, how connections are made and given up, its threads.
#include "src/net/plugin/plugin_net.h"

#include <signal.h>

#include <thread>

#include "src/net/plugin/plugin_net_fixture.h"

namespace sluice {
namespace {

using testing::HasSubstr;

TEST_F(PluginNetTest, DevicesOfAPluginThatDeliversInPlace) {
  make_net();
  EXPECT_EQ(net->name(), "plugin:Fake");
  ASSERT_EQ(net->devices().size(), 2u);
  const Device& device = net->devices()[1];
  EXPECT_EQ(device.name, "eth2");
  EXPECT_EQ(device.gbits_per_s, 200);
  EXPECT_EQ(device.delivery, Delivery::kInPlace);
  EXPECT_TRUE(device.host_memory);
  EXPECT_TRUE(device.cuda_memory);
  EXPECT_EQ(device.largest_chunk, 1ul << 30);
  EXPECT_EQ(device.most_in_flight, 16u);
  EXPECT_LT(net->wake_fd(), 0);
}

TEST_F(PluginNetTest, DevicesOfAPluginThatUnpacks) {
  make_unpacking_net();
  const Device& device = net->devices()[0];
  EXPECT_EQ(device.delivery, Delivery::kFragments);
  EXPECT_EQ(device.largest_chunk, 512u << 10) << "one NCCL_DYNAMIC_CHUNK_SIZE";
  EXPECT_EQ(device.most_in_flight, 16u);
  EXPECT_FALSE(device.cuda_memory);  // That of the host under its name:
  EXPECT_TRUE(device.host_memory);
}

TEST_F(PluginNetTest, WhereTheEngineHasAGpuAnUnpackingPluginTakesItsMemoryAlone) {
  int entered = 0;
  options.gpu = true;
  options.enter_thread = [&entered] { ++entered; };
  make_unpacking_net();
  const Device& device = net->devices()[0];
  EXPECT_TRUE(device.cuda_memory);
  EXPECT_FALSE(device.host_memory);
  EXPECT_TRUE(net->register_memory(bytes, Memory::kCuda).ok());
  EXPECT_EQ(net->register_memory(bytes, Memory::kHost).status().code(),
            StatusCode::kInvalidArgument);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(net->listen(0, "").ok());
  EXPECT_EQ(entered, 1);
  std::thread other([&] { EXPECT_TRUE(net->listen(0, "").ok()); });
  other.join();
  EXPECT_EQ(entered, 2);
}

TEST_F(PluginNetTest, WindowsAreWhatPluginsOfAVersionTake) {
  // Tables outlive what is made of them, and the Net is destroyed after this.
  static const auto v6 = fake::make_table<6>();
  make_net<6>(v6);
  EXPECT_EQ(net->devices()[0].most_in_flight, 8u);
  memory.reset();
  net.reset();
  static const auto v12 = fake::make_table<12>();
  make_net<12>(v12);
  EXPECT_EQ(net->devices()[0].most_in_flight, 32u);
}

TEST_F(PluginNetTest, ADeviceOfAnotherKindIsRefused) {
  for (const auto& [type, version] : {std::pair{2, 0}, std::pair{1, 8}, std::pair{-1, 7}}) {
    state().device_type = type;
    state().device_version = version;
    const auto made = PluginNet::create(loaded<kVersion>(raw), options, clock);
    ASSERT_FALSE(made.ok()) << type;
    EXPECT_EQ(made.status().code(), StatusCode::kInvalidArgument);
  }
  state().device_type = nccl_abi::kDeviceUnpack;
  state().device_version = nccl_abi::kUnpackVersion;
  raw.irecv_consumed = nullptr;
  EXPECT_FALSE(PluginNet::create(loaded<kVersion>(raw), options, clock).ok());
}

TEST_F(PluginNetTest, ConnectIsPolledWithTheSameBufferAndNeverAfterItsAnswer) {
  make_net();
  state().polls_until_made = 3;
  auto one = net->listen(0, "").take();
  auto connecting = net->connect(0, one->handle()).take();
  Status failure;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(connecting->connect(sender, failure), MakeAnswer::kNotYet);
  }
  EXPECT_EQ(connecting->connect(sender, failure), MakeAnswer::kMade);
  EXPECT_EQ(state().handles.size(), 1u);
  EXPECT_EQ(static_cast<char*>(state().handle)[0], 0x40) << "what listen wrote";
  connecting.reset();
  net->progress();
  EXPECT_EQ(calls_of("connect"), 4);
}

TEST_F(PluginNetTest, WhatWasGivenUpIsFinishedLaterAndClosed) {
  make_unpacking_net();
  state().polls_until_made = 4;
  auto accepting = net->listen(0, "").take();
  Status failure;
  EXPECT_EQ(accepting->accept(receiver, failure), MakeAnswer::kNotYet);
  accepting.reset();
  EXPECT_EQ(calls_of("closeListen"), 0) << "a thread of the plugin is still accepting";
  for (int i = 0; i < 3; ++i) net->progress();
  EXPECT_EQ(calls_of("close"), 0);
  net->progress();
  EXPECT_EQ(calls_of("close"), 1);
  EXPECT_EQ(calls_of("closeListen"), 1);
  net->progress();
  EXPECT_EQ(calls_of("accept"), 5);
}

TEST_F(PluginNetTest, ANetThatEndsLeavesThePluginItsMemory) {
  make_unpacking_net();
  state().polls_until_made = 1000;
  auto accepting = net->listen(0, "").take();
  auto connecting = net->connect(0, accepting->handle()).take();
  Status failure;
  EXPECT_EQ(accepting->accept(receiver, failure), MakeAnswer::kNotYet);
  EXPECT_EQ(connecting->connect(sender, failure), MakeAnswer::kNotYet);
  accepting.reset();
  connecting.reset();
  memory.reset();
  net.reset();
  EXPECT_EQ(calls_of("closeListen"), 0);
  static_cast<char*>(state().handle)[100] = 1;  // The plugin's thread still writes there.
}

TEST_F(PluginNetTest, GivenUpConnectionsAreBounded) {
  make_unpacking_net();
  state().polls_until_made = 1 << 20;
  Status failure;
  for (std::size_t i = 0; i < kMostUnfinished; ++i) {
    auto accepting = net->listen(0, "").take();
    EXPECT_EQ(accepting->accept(receiver, failure), MakeAnswer::kNotYet);
  }
  EXPECT_EQ(net->listen(0, "").status().code(), StatusCode::kUnavailable);
  state().result_of["accept"] = ResultCode::kSystemError;
  net->progress();
  EXPECT_TRUE(net->listen(0, "").ok());
}

TEST_F(PluginNetTest, AListenerThatNobodyAskedIsClosedAtOnce) {
  make_unpacking_net();
  net->listen(0, "").take().reset();
  EXPECT_EQ(calls_of("closeListen"), 1);
}

TEST_F(PluginNetTest, ConnectingFailsWithTheResult) {
  make_net();
  auto one = net->listen(0, "").take();
  auto connecting = net->connect(0, one->handle()).take();
  state().result = ResultCode::kRemoteError;
  Status failure;
  EXPECT_EQ(connecting->connect(sender, failure), MakeAnswer::kFailed);
  EXPECT_EQ(failure.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(failure.message()), HasSubstr("connect of plugin Fake says RemoteError"));
  state().result = ResultCode::kInternalError;
  EXPECT_EQ(net->listen(0, "").status().code(), StatusCode::kSystem);
  state().result = ResultCode::kSuccess;
}

TEST_F(PluginNetTest, NewTablesAreFinalizedOnceAndOldOnesNever) {
  const auto v11 = fake::make_table<11>();
  make_net<11>(v11);
  memory.reset();
  net.reset();
  EXPECT_EQ(calls_of("finalize"), 1);
  make_net();
  memory.reset();
  net.reset();
  EXPECT_EQ(calls_of("finalize"), 1);
}

TEST_F(PluginNetTest, SigpipeIsBlockedInThreadsThatEnterThePlugin) {
  make_net();
  const auto blocked = [] {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    return sigismember(&mask, SIGPIPE) == 1;
  };
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
  std::thread other([&] {
    EXPECT_FALSE(blocked());
    make_channels();
    EXPECT_TRUE(blocked());
  });
  other.join();
}

}  // namespace
}  // namespace sluice
