#include "src/net/tcp/socket_options.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>

#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

constexpr Path kShort{.loopback = false, .rtt_us = 200};
constexpr Path kLong{.loopback = false, .rtt_us = 20000};
constexpr Path kUnknown{};

bool set_bbr(int fd) { return ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3) == 0; }

TEST(Path, ShortIsLoopbackOrBelowAMillisecond) {
  EXPECT_TRUE(kShort.is_short());
  EXPECT_FALSE(kLong.is_short());
  EXPECT_FALSE(kUnknown.is_short());
  EXPECT_TRUE((Path{.loopback = true, .rtt_us = 0}).is_short());
  EXPECT_TRUE((Path{.loopback = false, .rtt_us = 999}).is_short());
  EXPECT_FALSE((Path{.loopback = false, .rtt_us = 1000}).is_short());
}

TEST(Path, OfALoopbackConnection) {
  const auto [client, server] = testing::tcp_pair();
  for (const int fd : {client.get(), server.get()}) {
    const Path path = path_of(fd);
    EXPECT_TRUE(path.loopback);
    EXPECT_TRUE(path.is_short());
  }
  EXPECT_GT(path_of(client.get()).rtt_us, 0u);
}

TEST(BindSource, LeavesThePortToConnect) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    const auto source = SocketAddress::numeric(host, 0);
    ASSERT_TRUE(source.ok());
    const Fd socket(::socket(source->family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    const Status status = bind_source(socket.get(), *source);
    if (!status.ok() && source->family() == AF_INET6) continue;  // A host without IPv6.
    ASSERT_TRUE(status.ok()) << status.to_string();
    const auto local = local_address(socket.get());
    ASSERT_TRUE(local.ok());
    EXPECT_TRUE(local->same_host(*source)) << local->to_string();
    EXPECT_EQ(local->port(), 0);
  }
}

TEST(BindSource, SaysWhatIsNotOurs) {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto source = SocketAddress::numeric("192.0.2.1", 0);  // Of documentation (RFC 5737).
  const Status status = bind_source(socket.get(), *source);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("192.0.2.1"), std::string_view::npos) << status.message();
}

Fd unconnected() { return Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

TEST(CongestionControl, SystemTouchesNothing) {
  const Fd socket = unconnected();
  const std::string before = congestion_control_of(socket.get());
  ASSERT_NE(before, "");
  const auto system = prepare_congestion_control(socket.get(), "system");
  ASSERT_TRUE(system.ok());
  EXPECT_EQ(*system, before);
  EXPECT_EQ(choose_congestion_control(socket.get(), "system", before, kShort).name, before);
  EXPECT_EQ(congestion_control_of(socket.get()), before);
}

TEST(CongestionControl, ANameIsTakenOrRefused) {
  const Fd socket = unconnected();
  ASSERT_TRUE(prepare_congestion_control(socket.get(), "reno").ok());
  EXPECT_EQ(choose_congestion_control(socket.get(), "reno", "bbr", kLong).name, "reno");
  EXPECT_EQ(congestion_control_of(socket.get()), "reno");
  for (const char* name : {"nosuch", "", "a-name-longer-than-the-kernel-takes"}) {
    const auto refused = prepare_congestion_control(socket.get(), name);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_NE(refused.status().message().find(fmt::format("'{}'", name)), std::string_view::npos);
    EXPECT_EQ(congestion_control_of(socket.get()), "reno");
  }
}

TEST(CongestionControl, AutoLeavesWhatDoesNotPace) {
  const Fd socket = unconnected();
  ASSERT_TRUE(prepare_congestion_control(socket.get(), "reno").ok());
  const auto system = prepare_congestion_control(socket.get(), "auto");
  ASSERT_TRUE(system.ok());
  EXPECT_EQ(*system, "reno");
  EXPECT_EQ(choose_congestion_control(socket.get(), "auto", *system, kShort).name, "reno");
}

// BBR is replaced before the socket connects, when the path is not known yet; a long path gets it
// back.
TEST(CongestionControl, AutoReplacesBbrBeforeConnectingAndOnShortPathsOnly) {
  const Fd socket = unconnected();
  if (!set_bbr(socket.get())) GTEST_SKIP() << "this kernel has no BBR";
  const auto system = prepare_congestion_control(socket.get(), "auto");
  ASSERT_TRUE(system.ok());
  EXPECT_EQ(*system, "bbr");
  const std::string prepared = congestion_control_of(socket.get());
  EXPECT_TRUE(prepared == "cubic" || prepared == "reno") << prepared;
  const auto choice = choose_congestion_control(socket.get(), "auto", *system, kShort);
  EXPECT_EQ(choice.name, prepared);
  EXPECT_NE(std::string(choice.why), "");
  for (const Path& path : {kLong, kUnknown}) {
    EXPECT_EQ(choose_congestion_control(socket.get(), "auto", *system, path).name, "bbr");
    EXPECT_EQ(congestion_control_of(socket.get()), "bbr");
  }
}

TEST(ReceiveBuffer, AutomaticOnlyOnShortPaths) {
  const auto [client, server] = testing::tcp_pair();
  const auto untouched = set_receive_buffer(server.get(), 0, kLong);
  ASSERT_TRUE(untouched.ok());
  EXPECT_EQ(*untouched, 0u);
  const auto set = set_receive_buffer(server.get(), 0, kShort);
  ASSERT_TRUE(set.ok());
  // 0 where net.core.rmem_max is too small and we may not exceed it.
  EXPECT_TRUE(*set == 0 || *set >= 384u << 10) << *set;
  EXPECT_LE(*set, kShortPathReceiveBuffer);
}

TEST(ReceiveBuffer, TakesWhatTheUserWants) {
  const auto [client, server] = testing::tcp_pair();
  const auto set = set_receive_buffer(server.get(), 100'000, kLong);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(*set, 100'000u);
  // Absurd sizes are cut by the kernel, not wrapped around.
  const auto huge = set_receive_buffer(server.get(), std::uint64_t{1} << 40, kLong);
  ASSERT_TRUE(huge.ok());
  EXPECT_GE(*huge, 100'000u);
}

TEST(SocketFlags, BlockingAndNoDelay) {
  const auto [client, server] = testing::tcp_pair();
  ASSERT_TRUE(set_blocking(client.get(), false).ok());
  EXPECT_NE(::fcntl(client.get(), F_GETFL) & O_NONBLOCK, 0);
  ASSERT_TRUE(set_blocking(client.get(), true).ok());
  EXPECT_EQ(::fcntl(client.get(), F_GETFL) & O_NONBLOCK, 0);
  ASSERT_TRUE(set_no_delay(client.get()).ok());
  int on = 0;
  socklen_t length = sizeof(on);
  ASSERT_EQ(::getsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, &length), 0);
  EXPECT_EQ(on, 1);
  EXPECT_EQ(set_no_delay(-1).code(), StatusCode::kSystem);
  EXPECT_EQ(set_blocking(-1, true).code(), StatusCode::kSystem);
}

}  // namespace
}  // namespace sluice
