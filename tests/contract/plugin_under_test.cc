// Plugins as Nets: the stand-ins and the own one that the build makes, and GPUDirect-TCPX where
// SLUICE_TCPX_PLUGIN names it (under the emulator: see docs/testing.md).
#include <fmt/format.h>
#include <sched.h>

#include <cstdlib>
#include <map>

#include "src/base/check.h"
#include "src/base/clock.h"
#include "src/net/plugin/plugin_net.h"
#include "tests/contract/net_under_test.h"
#include "tests/support/sanitized.h"

namespace sluice::contract {
namespace {

struct Plugin {
  std::string file;
  std::map<std::string, std::string> environment;
  bool is_tcpx = false;
  bool is_real_tcpx = false;  // Tries a refused connection 20,000 times.
};

class PluginUnderTest final : public NetUnderTest {
 public:
  explicit PluginUnderTest(const Plugin& plugin) : plugin_(plugin) {
    for (const auto& [name, value] : plugin.environment) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
    sending_ = make();
    receiving_ = make();
  }
  ~PluginUnderTest() override {
    sending_.reset();
    receiving_.reset();
    for (const auto& [name, value] : plugin_.environment) ::unsetenv(name.c_str());
  }

  Net& sending() override { return *sending_; }
  Net& receiving() override { return *receiving_; }
  void drive() override {
    sched_yield();
    sending_->progress();
    receiving_->progress();
  }
  bool wait_readable(int /*fd*/) override { return false; }
  // Plugins of the world do not ask who comes.
  bool send_stranger(std::span<const std::byte> /*handle*/) override { return false; }
  bool notices_refusal() override { return !plugin_.is_real_tcpx; }
  // One that delivers in place notices by itself, and has no code for it.
  bool sees_too_long() override {
    return receiving_->devices().front().delivery == Delivery::kFragments;
  }
  bool makes_channels_quickly() override { return !plugin_.is_tcpx; }

 private:
  std::unique_ptr<PluginNet> make() {
    PluginNetOptions options;
    options.plugin = plugin_.file;
    // Long: a machine that stalls must not look like a plugin that does.
    options.stall_timeout = from_ms(20'000);
    auto net = PluginNet::create(options, clock_);
    SLUICE_CHECK(net.ok(), "{}", net.status().to_string());
    return net.take();
  }

  const Plugin plugin_;
  SystemClock clock_;
  std::unique_ptr<PluginNet> sending_;
  std::unique_ptr<PluginNet> receiving_;
};

NetFactory factory(std::string name, const Plugin& plugin) {
  return {std::move(name), [plugin] { return std::make_unique<PluginUnderTest>(plugin); }};
}

std::string built(const std::string& name) { return fmt::format("{}/{}", SLUICE_PLUGINS, name); }

// Quick about what takes the real one seconds.
std::map<std::string, std::string> standin_environment() {
  return {{"SLUICE_STANDIN_STRICT", "1"},
          {"SLUICE_STANDIN_STEP_MS", "1"},
          {"SLUICE_STANDIN_ACCEPT_WAIT_MS", "1"},
          {"SLUICE_STANDIN_CONNECT_TRIES", "300"}};
}

}  // namespace

std::vector<NetFactory> plugin_nets() {
  std::vector<NetFactory> all;
  Plugin standin{.file = built("libnccl-net-standin.so"),
                 .environment = standin_environment(),
                 .is_tcpx = true};
  standin.environment["NCCL_DYNAMIC_CHUNK_SIZE"] = "4194304";
  standin.environment["NCCL_NSOCKS_PERTHREAD"] = "2";
  all.push_back(factory("StandinTcpx", standin));
  // As many fragments as a slot takes, and a pool that is full half of the time.
  standin.environment["NCCL_DYNAMIC_CHUNK_SIZE"] = "65536";
  standin.environment["SLUICE_STANDIN_FAULT"] = "tiny:64,unaligned";
  standin.environment["SLUICE_STANDIN_POOL_PAGES"] = "16384";
  all.push_back(factory("StandinTcpxTiny", standin));
  for (int version = 5; version <= 12; ++version) {
    // What differs between the versions does not need a sanitizer each.
    if (kSanitized && version != 5 && version != 12) continue;
    all.push_back(factory(fmt::format("StandinHostV{}", version),
                          Plugin{.file = built(fmt::format("libnccl-net-standin-v{}.so", version)),
                                 .environment = standin_environment()}));
  }
  all.push_back(factory("SluicePlugin", Plugin{.file = built("libnccl-net-sluice.so"),
                                               .environment = {{"NCCL_SOCKET_IFNAME", "lo"}}}));
  if (const char* real = std::getenv("SLUICE_TCPX_PLUGIN"); real != nullptr) {
    all.push_back(factory("Tcpx", Plugin{.file = real,
                                         .environment = {{"NCCL_DYNAMIC_CHUNK_SIZE", "524288"}},
                                         .is_tcpx = true,
                                         .is_real_tcpx = true}));
  }
  return all;
}

}  // namespace sluice::contract
