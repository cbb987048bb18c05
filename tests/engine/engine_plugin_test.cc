// Whole engines over a network plugin: the stand-in for GPUDirect-TCPX, as it should be and with
// everything wrong that it can do.
#include <dlfcn.h>

#include <atomic>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <thread>

#include "src/base/log.h"
#include "src/engine/engine_impl.h"
#include "src/gpu/host_gpu.h"
#include "src/net/plugin/plugin_net.h"
#include "src/net/tcp/tcp_control.h"
#include "tests/engine/gpu_blocks.h"
#include "tests/tcpx_standin/standin_counters.h"

namespace sluice {
namespace {

constexpr const char* kStandin = SLUICE_PLUGINS "/libnccl-net-standin.so";

Options plugin_options(std::uint64_t chunk_bytes) {
  Options options = loopback_options();
  options.net = std::string("plugin:") + kStandin;
  options.chunk_bytes = chunk_bytes;
  options.small_bytes = 0;
  options.peer_timeout_ms = 2000;
  options.log_level = "error";
  return options;
}

SluiceStandinCounters counters() {
  void* library = ::dlopen(kStandin, RTLD_NOW | RTLD_LOCAL);
  auto count =
      reinterpret_cast<SluiceStandinCountersFunction>(::dlsym(library, "sluice_standin_counters"));
  SluiceStandinCounters now{};
  count(&now);
  ::dlclose(library);
  return now;
}

class EnginePlugin : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  }
  void TearDown() override {
    for (const auto& [name, value] : environment) ::unsetenv(name.c_str());
    ::unsetenv("SLUICE_STANDIN_FAULT");
    ::unsetenv("SLUICE_STANDIN_POOL_PAGES");
    ::unsetenv("NCCL_DYNAMIC_CHUNK_SIZE");
  }
  std::map<std::string, std::string> environment{{"SLUICE_STANDIN_STRICT", "1"},
                                                 {"SLUICE_STANDIN_STEP_MS", "1"},
                                                 {"SLUICE_STANDIN_ACCEPT_WAIT_MS", "1"}};
};

// An engine with a GPU, for which memory of the host stands in, over a plugin that takes it.
std::unique_ptr<Engine> make_gpu_engine(const Options& options) {
  EngineParts parts;
  parts.options = options;
  auto clock = std::make_shared<SystemClock>();
  parts.clock = clock;
  PluginNetOptions plugin;
  plugin.plugin = kStandin;
  plugin.chunk_bytes = options.chunk_bytes;
  plugin.gpu = true;
  parts.net = PluginNet::create(plugin, *clock).take();
  parts.control = TcpControlNet::create().take();
  parts.gpu = std::make_unique<HostGpu>(HostGpu::Pose::kPosing);
  parts.advertise_host = "127.0.0.1";
  parts.channels = options.channels;
  return make_engine(std::move(parts)).take();
}

TEST_F(EnginePlugin, GpuMemoryIsHandedToThePluginAndUnpackedByTheGpu) {
  Options options = plugin_options(16 << 10);
  options.small_bytes = 4096;  // None rides in a frame: the host could not read it.
  options.allow_anyone = 1;
  options.name = "gpu";
  Pair pair(make_gpu_engine(options), make_gpu_engine(options));
  std::vector<std::byte> from = random_bytes(300'001, 5);
  std::vector<std::byte> into(from.size());
  EXPECT_EQ(pair.a.engine->register_memory(from.data(), from.size(), Memory::kHost).status().code(),
            StatusCode::kInvalidArgument);
  const RegionId source = pair.a.add(from, Memory::kCuda);
  const RegionId sink = pair.b.add(into, Memory::kCuda);
  const SluiceStandinCounters before = counters();
  for (const std::size_t bytes : {0u, 1u, 100u, 4096u, 300'001u}) {
    std::fill(into.begin(), into.end(), std::byte{0});
    const auto received = pair.b.engine->recv(pair.a_at_b, {sink, 0, bytes});
    const auto sent = pair.a.engine->send(pair.b_at_a, {source, 0, bytes});
    ASSERT_TRUE(pair.finish(*sent, *received));
    ASSERT_TRUE(pair.b.done.at(*received).status.ok())
        << pair.b.done.at(*received).status.to_string();
    EXPECT_EQ(std::memcmp(from.data(), into.data(), bytes), 0) << bytes;
  }
  // 1, 100 and 4096 bytes in a chunk each, 300,001 in 19.
  EXPECT_EQ(counters().receives_consumed - before.receives_consumed, 22u);
  move_gpu_blocks(pair, 300'001, Memory::kCuda, Memory::kCuda);
}

TEST_F(EnginePlugin, APluginForGpusAloneIsRefusedWithoutAGpu) {
  Options options = plugin_options(64 << 10);
  options.net = "plugin:" SLUICE_TESTING_PLUGINS "/libtesting_plugin_cuda_only.so";
  const auto made = Engine::create(options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(made.status().message().find("takes memory of a GPU alone"), std::string_view::npos)
      << made.status().to_string();
}

TEST_F(EnginePlugin, ManyChunksLoseNoPageAndKeepTheWindowFull) {
  constexpr std::size_t kChunk = 16 << 10;
  constexpr std::size_t kMessage = 250 * kChunk;
  constexpr int kMessages = 40;
  ::setenv("SLUICE_STANDIN_POOL_PAGES", "600", 1);
  Options options = plugin_options(kChunk);
  options.channels = 4;
  Pair pair(options, options);
  std::vector<std::byte> from = random_bytes(kMessage, 3);
  std::vector<std::byte> into(kMessage);
  const Slice source{pair.a.add(from), 0, kMessage};
  const Slice sink{pair.b.add(into), 0, kMessage};
  const SluiceStandinCounters before = counters();
  for (int i = 0; i < kMessages; ++i) {
    std::fill(into.begin(), into.end(), std::byte{0});
    const auto received = pair.b.engine->recv(pair.a_at_b, sink);
    const auto sent = pair.a.engine->send(pair.b_at_a, source);
    ASSERT_TRUE(pair.finish(*sent, *received));
    ASSERT_TRUE(pair.b.done.at(*received).status.ok())
        << pair.b.done.at(*received).status.to_string();
    ASSERT_EQ(std::memcmp(from.data(), into.data(), kMessage), 0) << "message " << i;
  }
  const SluiceStandinCounters after = counters();
  EXPECT_EQ(after.receives_consumed - before.receives_consumed, 10'000u);
  EXPECT_EQ(after.pages_total, 600u);
  EXPECT_EQ(after.pages_free, 600u);
  EXPECT_EQ(after.pages_lost, 0u);
  EXPECT_EQ(after.most_in_flight_send, 16u);
  EXPECT_EQ(after.most_in_flight_receive, 16u);
  EXPECT_EQ(after.tests_not_oldest, 0u);
  EXPECT_EQ(after.posts_when_full, 0u);
  EXPECT_EQ(after.violations, 0u);
}

TEST_F(EnginePlugin, WhatWasSentArrivesAlthoughItsEngineCloses) {
  constexpr std::size_t kMessage = 200'000;
  Pair pair(plugin_options(16 << 10), plugin_options(16 << 10));
  std::vector<std::byte> from = random_bytes(kMessage, 3);
  std::vector<std::byte> into(kMessage);
  const Slice source{pair.a.add(from), 0, kMessage};
  const Slice sink{pair.b.add(into), 0, kMessage};
  const auto first = pair.b.engine->recv(pair.a_at_b, sink);
  ASSERT_TRUE(pair.finish(*pair.a.engine->send(pair.b_at_a, source), *first));
  std::fill(into.begin(), into.end(), std::byte{0});
  const auto received = pair.b.engine->recv(pair.a_at_b, sink);
  pair.b.pass();
  const auto sent = pair.a.engine->send(pair.b_at_a, source);
  ASSERT_TRUE(drive({&pair.a}, [&] { return pair.a.finished(*sent); }));
  std::atomic<bool> closed = false;
  std::thread closing([&] {
    pair.a.engine.reset();
    closed = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // As long as a close could take.
  const bool finished = drive({&pair.b}, [&] { return pair.b.finished(*received) && closed; });
  closing.join();
  ASSERT_TRUE(finished);
  EXPECT_TRUE(pair.b.done.at(*received).status.ok())
      << pair.b.done.at(*received).status.to_string();
  EXPECT_TRUE(same_bytes(from, into));
}

struct Outcome {
  Status sent;
  Status received;
  bool intact = false;
};

template <typename Parameter>
class EnginePluginFault : public EnginePlugin, public testing::WithParamInterface<Parameter> {
 protected:
  // One message of 64 chunks over two channels, with the fault switched on.
  void transfer(const char* fault, Outcome& outcome) {
    constexpr std::size_t kMessage = 4 << 20;
    ::setenv("SLUICE_STANDIN_FAULT", fault, 1);
    ::setenv("SLUICE_STANDIN_POOL_PAGES", "2048", 1);
    Pair pair(plugin_options(64 << 10), plugin_options(64 << 10));
    std::vector<std::byte> from = random_bytes(kMessage, 5);
    std::vector<std::byte> into(kMessage);
    const Slice source{pair.a.add(from), 0, kMessage};
    const Slice sink{pair.b.add(into), 0, kMessage};
    const auto received = pair.b.engine->recv(pair.a_at_b, sink);
    const auto sent = pair.a.engine->send(pair.b_at_a, source);
    ASSERT_TRUE(pair.finish(*sent, *received)) << "it hangs";
    outcome = {pair.a.done.at(*sent).status, pair.b.done.at(*received).status, from == into};
  }
};

std::string name_of_fault(std::string_view fault) {
  std::string name;
  for (const char c : fault) name += std::isalnum(c) != 0 ? c : '_';
  return name;
}

class EnginePluginHarmless : public EnginePluginFault<const char*> {};

INSTANTIATE_TEST_SUITE_P(Standin, EnginePluginHarmless,
                         testing::Values("late:20", "busy:2", "tiny:100", "unaligned", "aligned",
                                         "storm:100", "at-once", "tiny:300,unaligned,late,busy"),
                         [](const auto& one) { return name_of_fault(one.param); });

TEST_P(EnginePluginHarmless, TheMessageArrives) {
  Outcome outcome;
  transfer(GetParam(), outcome);
  EXPECT_TRUE(outcome.sent.ok()) << outcome.sent.to_string();
  EXPECT_TRUE(outcome.received.ok()) << outcome.received.to_string();
  EXPECT_TRUE(outcome.intact);
}

struct FatalFault {
  const char* fault;
  const char* cause;  // What both ends are told, in part.
};
void PrintTo(const FatalFault& fault, std::ostream* out) { *out << fault.fault; }

class EnginePluginFatal : public EnginePluginFault<FatalFault> {};

INSTANTIATE_TEST_SUITE_P(Standin, EnginePluginFatal,
                         testing::Values(FatalFault{"stall:5", "finished no chunk for 2000 ms"},
                                         FatalFault{"recv-stall", "finished no chunk"},
                                         FatalFault{"send-stall:20", "finished no chunk"},
                                         FatalFault{"leak:1,tiny:200", "finished no chunk"},
                                         FatalFault{"unsent:9", "finished no chunk"},
                                         FatalFault{"error:7", "says SystemError (2)"},
                                         FatalFault{"send-error:7", "says SystemError (2)"},
                                         FatalFault{"recv-error:7", "says SystemError (2)"},
                                         FatalFault{"bad-source:3", "bounce pool of"},
                                         FatalFault{"bad-destination:3", "of message 3"},
                                         FatalFault{"bad-length:3", "bounce pool of"},
                                         FatalFault{"bad-count:3", "2048 is the most"},
                                         FatalFault{"short-sum:3", "of message 3"},
                                         FatalFault{"oversize:3",
                                                    "a chunk of 65600 bytes met room for 65536"},
                                         FatalFault{"connect-fails", "connect of plugin"},
                                         FatalFault{"accept-fails", "accept of plugin"}),
                         [](const auto& one) { return name_of_fault(one.param.fault); });

TEST_P(EnginePluginFatal, TheReceiveEndsWithItsCause) {
  Outcome outcome;
  transfer(GetParam().fault, outcome);
  EXPECT_FALSE(outcome.received.ok()) << "intact: " << outcome.intact;
  EXPECT_NE(outcome.received.message().find(GetParam().cause), std::string_view::npos)
      << outcome.received.to_string() << " | " << outcome.sent.to_string();
}

struct Stall {
  const char* fault;
  const char* means;  // What the report of an end says, in part.
};
void PrintTo(const Stall& stall, std::ostream* out) { *out << stall.fault; }

// Where the log goes while a stall is waited for; the logger makes one call at a time.
std::string* stall_log = nullptr;

class EnginePluginStall : public EnginePlugin, public testing::WithParamInterface<Stall> {
 protected:
  void SetUp() override {
    EnginePlugin::SetUp();
    stall_log = &log_;
    set_log_sink([](LogLevel, std::string_view line) { stall_log->append(line).append("\n"); });
  }
  void TearDown() override {
    set_log_sink(nullptr);
    EnginePlugin::TearDown();
  }
  std::string log_;
};

INSTANTIATE_TEST_SUITE_P(Standin, EnginePluginStall,
                         testing::Values(Stall{"send-stall:20", "does not finish what was sent"},
                                         Stall{"recv-stall", "announced chunks that do not arrive"},
                                         Stall{"unsent:9", "announced chunks that do not arrive"},
                                         Stall{"leak:1,tiny:200",
                                               "announced chunks that do not arrive"}),
                         [](const auto& one) { return name_of_fault(one.param.fault); });

TEST_P(EnginePluginStall, TheLogSaysByItselfHowThingsStandAndWhatThatMeans) {
  constexpr std::size_t kMessage = 4 << 20;
  ::setenv("SLUICE_STANDIN_FAULT", GetParam().fault, 1);
  ::setenv("SLUICE_STANDIN_POOL_PAGES", "2048", 1);
  Options options = plugin_options(64 << 10);
  options.peer_timeout_ms = 60'000;  // The report comes first.
  options.stall_report_ms = 200;
  std::string folder = testing::TempDir() + "stall_XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  options.recorder_dir = folder;
  options.log_level = "warning";
  Pair pair(options, options);
  std::vector<std::byte> from = random_bytes(kMessage, 5);
  std::vector<std::byte> into(kMessage);
  ASSERT_TRUE(pair.b.engine->recv(pair.a_at_b, {pair.b.add(into), 0, kMessage}).ok());
  ASSERT_TRUE(pair.a.engine->send(pair.b_at_a, {pair.a.add(from), 0, kMessage}).ok());
  // Asked again and again: a machine that stalls makes any peer look silent for a moment.
  const auto says = [](Host& host, const char* part) {
    return host.engine->report().find(part) != std::string::npos;
  };
  EXPECT_TRUE(pair.drive([&] {
    return log_.find("with the Net, the oldest tested") != std::string::npos &&
           log_.find("-stall.recording") != std::string::npos &&
           (says(pair.a, GetParam().means) || says(pair.b, GetParam().means));
  })) << log_;
  pair.a.engine.reset();
  pair.b.engine.reset();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sluice
