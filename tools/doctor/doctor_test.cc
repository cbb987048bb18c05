#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "src/base/fd.h"
#include "tools/doctor/checks.h"
#include "tools/doctor/peer_checks.h"

namespace sluice::doctor {
namespace {

namespace fs = std::filesystem;

// A tree of small files, gone with the test.
class Tree : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "doctor-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  void file(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << "\n";
  }
  std::string root_;
};

const Finding& find(const Findings& findings, const std::string& check) {
  for (const Finding& one : findings) {
    if (one.check == check) return one;
  }
  ADD_FAILURE() << "no finding about " << check;
  static const Finding none;
  return none;
}

// What every verdict that is not well owes its reader.
void expect_help(const Findings& findings) {
  for (const Finding& one : findings) {
    const bool well = one.verdict == Verdict::kOk || one.verdict == Verdict::kUnknown;
    EXPECT_EQ(one.why.empty(), well) << one.check;
    EXPECT_EQ(one.fix.empty(), well) << one.check;
    EXPECT_FALSE(one.seen.empty()) << one.check;
  }
}

TEST_F(Tree, AHostThatIsSetUpHasNoWarnings) {
  file("/proc/sys/net/core/rmem_max", "16777216");
  file("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 33554432");
  file("/proc/sys/net/ipv4/tcp_wmem", "4096\t65536\t33554432");
  file("/proc/sys/net/ipv4/tcp_congestion_control", "bbr");
  file("/proc/sys/net/ipv4/tcp_allowed_congestion_control", "reno cubic bbr");
  file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
  file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance");
  file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
  for (const Finding& one : check_kernel(HostFiles(root_))) {
    EXPECT_EQ(one.verdict, Verdict::kOk) << one.check << ": " << one.seen;
  }
}

TEST_F(Tree, EachThingThatIsWrongIsSaidWithWhyAndHow) {
  file("/proc/sys/net/core/rmem_max", "212992");
  file("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 262144");
  file("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 262144");
  file("/proc/sys/net/ipv4/tcp_congestion_control", "bbr");
  file("/proc/sys/net/ipv4/tcp_allowed_congestion_control", "bbr");
  file("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]");
  file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
  file("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
  const Findings findings = check_kernel(HostFiles(root_));
  EXPECT_EQ(findings.size(), 7u);
  for (const Finding& one : findings) EXPECT_EQ(one.verdict, Verdict::kWarning) << one.check;
  expect_help(findings);
  EXPECT_EQ(find(findings, "net.core.rmem_max").fix, "sysctl -w net.core.rmem_max=\"16777216\"");
  EXPECT_EQ(exit_status_of(findings), 0) << "slower is no failure";
}

TEST_F(Tree, AHostThatSaysNothingIsUnknownNotWell) {
  for (const Finding& one : check_kernel(HostFiles(root_))) {
    if (one.check == "CPU frequency") continue;  // Not governed, which is well.
    EXPECT_EQ(one.verdict, Verdict::kUnknown) << one.check;
  }
  file("/proc/sys/net/core/rmem_max", "many");
  EXPECT_EQ(find(check_kernel(HostFiles(root_)), "net.core.rmem_max").verdict, Verdict::kUnknown);
}

TEST(Nics, A3HighWithAndWithoutRxdm) {
  Machine machine;
  machine.nodes = {{0, "0-51"}, {1, "52-103"}};
  NicFacts nic{"eth1", 8244, 200'000, "up", "gve", 0, true};
  for (const Finding& one : check_nics({nic}, machine)) {
    EXPECT_EQ(one.verdict, Verdict::kOk) << one.check;
  }
  nic = {"eth1", 1460, 1000, "down", "gve", -1, false};
  const Findings findings = check_nics({nic}, machine);
  EXPECT_EQ(findings.size(), 5u);
  for (const Finding& one : findings) EXPECT_EQ(one.verdict, Verdict::kWarning) << one.check;
  expect_help(findings);
}

TEST(Nics, WhatADriverDoesNotSayIsUnknown) {
  // -1, as sysfs gives it for an interface that is down, read as a number.
  const NicFacts nic{"eth0", std::nullopt, UINT32_MAX, "unknown", "virtio_net", -1, std::nullopt};
  const Findings findings = check_nics({nic}, Machine{});
  for (const char* check : {"eth0 state", "eth0 mtu", "eth0 speed"}) {
    EXPECT_EQ(find(findings, check).verdict, Verdict::kUnknown) << check;
  }
  EXPECT_EQ(check_nics({}, Machine{}).front().verdict, Verdict::kUnknown);
}

TEST(LimitsOfAProcess, DescriptorsMemoryAndCores) {
  Machine machine;
  machine.nodes = {{0, "0-3"}, {1, "4-7"}};
  const Findings well = check_limits({65536, UINT64_MAX, {0, 4}}, machine, true);
  for (const Finding& one : well) EXPECT_EQ(one.verdict, Verdict::kOk) << one.check;
  const Findings poor = check_limits({256, 64 << 10, {4}}, machine, true);
  for (const char* check : {"open files", "locked memory", "cores of node 0"}) {
    EXPECT_EQ(find(poor, check).verdict, Verdict::kWarning) << check;
  }
  EXPECT_EQ(find(poor, "cores of node 1").verdict, Verdict::kOk);
  expect_help(poor);
  EXPECT_EQ(find(check_limits({256, 0, {}}, {}, false), "locked memory").verdict, Verdict::kOk)
      << "nothing is pinned";
  EXPECT_FALSE(read_limits().cores.empty());
}

TEST_F(Tree, GpusWithoutADriverFail) {
  const HostFiles files(root_);
  Machine machine;
  EXPECT_EQ(check_gpus(files, machine, 0).front().verdict, Verdict::kOk);
  machine.gpus.resize(8);
  const Findings without = check_gpus(files, machine, 0);
  EXPECT_EQ(without.front().verdict, Verdict::kFailure);
  EXPECT_EQ(exit_status_of(without), 1);
  file("/proc/driver/nvidia/version",
       "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15");
  EXPECT_EQ(find(check_gpus(files, machine, 8), "dma-buf").verdict, Verdict::kOk);
  file("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15");
  EXPECT_EQ(find(check_gpus(files, machine, 8), "dma-buf").verdict, Verdict::kWarning);
}

TEST(Plugin, OneThatIsNotThereFailsInTheLoadersWords) {
  EXPECT_EQ(check_plugin("tcp", "").front().verdict, Verdict::kOk);
  const Findings findings = check_plugin("plugin:/nonexistent/libnccl-net.so", "");
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].verdict, Verdict::kFailure);
  EXPECT_NE(findings[0].seen.find("/nonexistent/libnccl-net.so"), std::string::npos);
  expect_help(findings);
}

TEST_F(Tree, RxdmIsThereOnlyIfSomeoneListens) {
  EXPECT_EQ(check_rxdm(root_).verdict, Verdict::kFailure);
  const std::string path = root_ + "/rx_rule_manager";
  const Fd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(check_rxdm(root_).verdict, Verdict::kFailure) << "a socket that nobody serves";
  ASSERT_EQ(::listen(listening.get(), 4), 0);
  EXPECT_EQ(check_rxdm(root_).verdict, Verdict::kOk);
  EXPECT_EQ(check_rxdm(std::string(200, 'x')).verdict, Verdict::kFailure) << "too long a path";
}

TEST(Path, ARefusalFailsAndASmallerMtuWarns) {
  EXPECT_EQ(judge_path("to b", {"Connection refused", 0, 0, 0}, 20000).verdict, Verdict::kFailure);
  EXPECT_EQ(judge_path("to b", {"", 0.1, 1460, 8244}, 20000).verdict, Verdict::kWarning);
  EXPECT_EQ(judge_path("to b", {"", 0.1, 8244, 8244}, 20000).verdict, Verdict::kOk);
  EXPECT_EQ(judge_path("to b", {"", 0.1, 1500, 0}, 20000).verdict, Verdict::kOk);
}

TEST(Loss, IsWhatWasSentAgainOfAllThatWasSent) {
  const SegmentCounts before = parse_segments(
      "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm OutSegs RetransSegs\nTcp: 1 1000 10\nUdp: A\n");
  EXPECT_EQ(before.sent, 1000u);
  EXPECT_EQ(before.again, 10u);
  EXPECT_EQ(judge_loss(before, {101'000, 20}).verdict, Verdict::kOk);
  EXPECT_EQ(judge_loss(before, {101'000, 1010}).verdict, Verdict::kWarning);
  EXPECT_EQ(judge_loss(before, before).verdict, Verdict::kUnknown);
  for (const char* text :
       {"", "Tcp: ", "Tcp: OutSegs\n", "Tcp: OutSegs\nTcp: many\n", "Tcp: \nTcp:"}) {
    EXPECT_EQ(parse_segments(text).sent, 0u) << text;
  }
}

TEST(Report, TextAndJsonHaveEveryFinding) {
  const Findings findings{{"a", Verdict::kOk, "1", "", ""},
                          {"b", Verdict::kWarning, "2", "slow", "do this"},
                          {"c", Verdict::kFailure, "3 \xff", "broken", "do that"},
                          {"d", Verdict::kUnknown, "4", "", ""}};
  const std::string text = findings_text(findings);
  for (const char* part : {"warning  b", "why: slow", "fix: do this", "FAILURE  c",
                           "4 checks: 1 failures, 1 warnings, 1 unknown"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const auto json = nlohmann::json::parse(findings_json(findings));
  EXPECT_EQ(json["findings"].size(), 4u);
  EXPECT_EQ(json["findings"][2]["verdict"], "failure");
  EXPECT_EQ(json["findings"][1]["fix"], "do this");
  EXPECT_EQ(json["failures"], 1);
  EXPECT_EQ(exit_status_of(findings), 1);
}

}  // namespace
}  // namespace sluice::doctor
