#include "tests/emulator/rxdm.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "tests/emulator/rxdm_client.h"

namespace sluice::emulator {
namespace {

using namespace std::string_literals;  // NOLINT: bytes with zeros among them.

constexpr char kGpu[] = "0000:04:00.0";

class RxdmTest : public ::testing::Test {
 protected:
  RxdmTest() {
    char name[] = "/tmp/rxdm-test-XXXXXX";
    EXPECT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    Result<std::unique_ptr<Rxdm>> rxdm =
        Rxdm::start({folder_, kGpu, pool_.get(), 1 << 20, 4096, pages_.get()});
    EXPECT_TRUE(rxdm.ok()) << rxdm.status().message();
    rxdm_ = rxdm.take();
  }
  ~RxdmTest() override {
    rxdm_.reset();
    EXPECT_EQ(::rmdir(folder_.c_str()), 0) << "sockets were left";
  }

  [[nodiscard]] Fd connect(const std::string& name) const {
    Fd socket(connect_unix(folder_ + "/" + name));
    EXPECT_TRUE(socket.valid()) << name;
    return socket;
  }
  // "" if rxdm hangs up instead of answering.
  static std::string ask(const Fd& socket, const std::string& frame) {
    EXPECT_EQ(::send(socket.get(), frame.data(), frame.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(frame.size()));
    std::array<std::byte, 512> reply;
    const ssize_t bytes = ::recv(socket.get(), reply.data(), reply.size(), 0);
    if (bytes <= 0) return "";
    const auto all = std::span(reply).first(static_cast<std::size_t>(bytes));
    EXPECT_EQ(announced_length(all.first<kLengthBytes>()), all.size() - kLengthBytes);
    return decode(all.subspan(kLengthBytes)).value().raw.value();
  }
  [[nodiscard]] std::string ask(const std::string& name, const std::string& frame) const {
    return ask(connect(name), frame);
  }

  std::string folder_;
  Fd pool_{::memfd_create("pool", MFD_CLOEXEC)};
  Fd pages_{::memfd_create("pages", MFD_CLOEXEC)};
  std::unique_ptr<Rxdm> rxdm_;
};

bool same_file(int one, int other) {
  struct stat a {};
  struct stat b {};
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_ino == b.st_ino;
}

TEST_F(RxdmTest, HandsOutThePoolOfItsGpuOnly) {
  std::string wrong;
  const Fd pool(ask_for_fd(folder_ + "/get_gpu_fd_" + kGpu, kGpu, &wrong));
  EXPECT_EQ(wrong, "");
  EXPECT_TRUE(same_file(pool.get(), pool_.get()));
  const Fd pages(ask_for_fd(folder_ + "/" + kPagesSocket, kGpu, &wrong));
  EXPECT_TRUE(same_file(pages.get(), pages_.get()));
  EXPECT_EQ(ask_for_fd(folder_ + "/get_gpu_fd_" + kGpu, "0000:05:00.0", &wrong), -1);
  EXPECT_NE(wrong, "");
}

TEST_F(RxdmTest, TellsThePoolsSizeAsThePluginReadsIt) {
  const std::string reply = ask(std::string("get_gpu_metadata_") + kGpu, frame_of_raw(kGpu));
  ASSERT_EQ(reply.size(), 24u);
  std::uint64_t sizes[2];
  std::memcpy(sizes, reply.data() + 8, sizeof(sizes));
  EXPECT_EQ(sizes[0], 1u << 20);
  EXPECT_EQ(sizes[1], 4096u);
}

TEST_F(RxdmTest, RulesAreInstalledAndRemovedOnce) {
  const FlowRule rule{FlowRule::kTcp4, {"127.0.0.1", 1}, {"127.0.0.1", 2}, kGpu};
  FlowRule flow = rule;  // Who removes one does not name the GPU.
  flow.gpu = "";
  EXPECT_NE(ask("rx_rule_uninstall", frame_of_rule(flow)), "Ok.");
  EXPECT_EQ(ask("rx_rule_manager", frame_of_rule(rule)), "Ok.");
  EXPECT_EQ(ask("rx_rule_uninstall", frame_of_rule(flow)), "Ok.");
  EXPECT_NE(ask("rx_rule_uninstall", frame_of_rule(flow)), "Ok.");
}

TEST_F(RxdmTest, RulesThatCannotBeAreRefusedInWords) {
  FlowRule rule{FlowRule::kTcp4, {"127.0.0.1", 1}, {"127.0.0.1", 2}, "0000:05:00.0"};
  EXPECT_NE(ask("rx_rule_manager", frame_of_rule(rule)), "Ok.");
  rule.gpu = kGpu;
  rule.flow_type = 5;  // TCP_V6_FLOW
  EXPECT_NE(ask("rx_rule_manager", frame_of_rule(rule)), "Ok.");
  rule.flow_type = FlowRule::kTcp4;
  rule.source.port = 65536;
  EXPECT_NE(ask("rx_rule_manager", frame_of_rule(rule)), "Ok.");
  rule.source.port = 65535;
  EXPECT_EQ(ask("rx_rule_manager", frame_of_rule(rule)), "Ok.");
}

TEST_F(RxdmTest, ARegisteredClientMayAskAgainOnTheSameConnection) {
  const Fd socket = connect("rxdm_application_registry");
  EXPECT_EQ(ask(socket, frame_of_register(true)), "Ok.");
  EXPECT_EQ(ask(socket, frame_of_register(false)), "Ok.");
}

TEST_F(RxdmTest, AFrameMayComeByteByByte) {
  const Fd socket = connect("rx_rule_manager");
  const FlowRule rule{FlowRule::kTcp4, {"127.0.0.1", 1}, {"127.0.0.1", 2}, kGpu};
  const std::string frame = frame_of_rule(rule);
  for (std::size_t i = 0; i + 1 < frame.size(); ++i) {
    ASSERT_EQ(::send(socket.get(), &frame[i], 1, MSG_NOSIGNAL), 1);
  }
  EXPECT_EQ(ask(socket, frame.substr(frame.size() - 1)), "Ok.");
}

TEST_F(RxdmTest, HostileBytesEndTheirConnectionAndNoOther) {
  const Fd quiet = connect("rx_rule_manager");  // Has said half a length, and stays.
  ASSERT_EQ(::send(quiet.get(), "\x01", 1, MSG_NOSIGNAL), 1);
  for (const std::string& bytes : {
           "\x00\x00"s,                                        // No payload.
           "\x00\x04\x0a\x05xx"s,                              // A length that lies.
           "\x00\x05\x0a\x03Ok."s,                             // Raw bytes where a rule belongs.
           std::string("\xff\xff") + std::string(65535, 'x'),  // As long as can be, and nonsense.
       }) {
    EXPECT_EQ(ask("rx_rule_manager", bytes), "");
  }
  const FlowRule rule{FlowRule::kTcp4, {"127.0.0.1", 1}, {"127.0.0.1", 2}, kGpu};
  EXPECT_EQ(ask("rx_rule_manager", frame_of_rule(rule)), "Ok.");
}

}  // namespace
}  // namespace sluice::emulator
