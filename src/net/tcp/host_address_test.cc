#include "src/net/tcp/host_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

TEST(SocketAddress, PrintsWhatItWasGiven) {
  const struct {
    const char* host;
    std::uint16_t port;
    const char* text;
  } cases[] = {
      {"10.0.0.1", 20000, "10.0.0.1:20000"},         {"0.0.0.0", 0, "0.0.0.0:0"},
      {"2001:db8::1", 65535, "[2001:db8::1]:65535"}, {"::", 1, "[::]:1"},
      {"fe80::1%lo", 7, "[fe80::1%lo]:7"},
  };
  for (const auto& c : cases) {
    const auto address = SocketAddress::numeric(c.host, c.port);
    ASSERT_TRUE(address.ok()) << c.host;
    EXPECT_EQ(address->host(), c.host);
    EXPECT_EQ(address->port(), c.port);
    EXPECT_EQ(address->to_string(), c.text);
  }
}

TEST(SocketAddress, NumericRefusesNames) {
  for (const char* host : {"", "localhost", "lo", "10.0.0.256", "::g", "1.2.3.4:5"}) {
    const auto address = SocketAddress::numeric(host, 1);
    ASSERT_FALSE(address.ok()) << host;
    EXPECT_EQ(address.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(address.status().message().find(fmt::format("'{}'", host)), std::string_view::npos);
  }
}

TEST(SocketAddress, KeepsMappedIpv4AsIpv4) {
  sockaddr_in6 mapped{};
  mapped.sin6_family = AF_INET6;
  mapped.sin6_port = htons(80);
  ASSERT_EQ(::inet_pton(AF_INET6, "::ffff:127.0.0.9", &mapped.sin6_addr), 1);
  const SocketAddress address(reinterpret_cast<const sockaddr*>(&mapped), sizeof(mapped));
  EXPECT_EQ(address.family(), AF_INET);
  EXPECT_EQ(address.to_string(), "127.0.0.9:80");
  EXPECT_TRUE(address.loopback());
}

TEST(SocketAddress, KnowsWhatOthersCanReach) {
  const struct {
    const char* host;
    bool loopback;
    bool any;
    bool global;
  } cases[] = {
      {"127.0.0.1", true, false, false},   {"127.255.0.1", true, false, false},
      {"::1", true, false, false},         {"0.0.0.0", false, true, false},
      {"::", false, true, false},          {"169.254.1.1", false, false, false},
      {"fe80::1%lo", false, false, false}, {"10.1.2.3", false, false, true},
      {"2001:db8::1", false, false, true},
  };
  for (const auto& c : cases) {
    const auto address = SocketAddress::numeric(c.host, 1);
    ASSERT_TRUE(address.ok()) << c.host;
    EXPECT_EQ(address->loopback(), c.loopback) << c.host;
    EXPECT_EQ(address->any_host(), c.any) << c.host;
    EXPECT_EQ(address->global(), c.global) << c.host;
  }
}

TEST(SocketAddress, ComparesHostsWithoutPorts) {
  const auto host = [](const char* text, std::uint16_t port) {
    return *SocketAddress::numeric(text, port);
  };
  EXPECT_TRUE(host("10.0.0.1", 1).same_host(host("10.0.0.1", 2)));
  EXPECT_FALSE(host("10.0.0.1", 1).same_host(host("10.0.0.2", 1)));
  EXPECT_TRUE(host("::1", 1).same_host(host("::1", 2)));
  EXPECT_FALSE(host("::1", 1).same_host(host("127.0.0.1", 1)));
}

TEST(HostAddress, FindsLoopbackByNameInterfaceAndNumber) {
  const auto by_name = resolve_host("localhost", 5);
  ASSERT_TRUE(by_name.ok()) << by_name.status().to_string();
  EXPECT_TRUE(by_name->loopback());
  EXPECT_EQ(by_name->port(), 5);
  const auto by_interface = interface_address("lo", 6);
  ASSERT_TRUE(by_interface.ok()) << by_interface.status().to_string();
  EXPECT_EQ(by_interface->to_string(), "127.0.0.1:6");
  for (const char* host : {"127.0.0.1", "lo", "localhost"}) {
    const auto address = listen_address(host, 7);
    ASSERT_TRUE(address.ok()) << host;
    EXPECT_EQ(address->to_string(), "127.0.0.1:7");
  }
  EXPECT_EQ(interface_of(*by_interface), "lo");
}

TEST(HostAddress, SaysWhatItDidNotFind) {
  // Too long for a host name, so that nobody is asked for it.
  const std::string impossible(300, 'x');
  for (const auto& address : {resolve_host(impossible, 1), listen_address(impossible, 1),
                              resolve_host("", 1), interface_address("no-such-if", 1)}) {
    ASSERT_FALSE(address.ok());
    EXPECT_EQ(address.status().code(), StatusCode::kNotFound);
  }
  EXPECT_NE(interface_address("no-such-if", 1).status().message().find("no-such-if"),
            std::string_view::npos);
  EXPECT_EQ(interface_of(*SocketAddress::numeric("192.0.2.1", 0)), "");
}

TEST(HostAddress, FirstGlobalAddressIsNumeric) {
  EXPECT_TRUE(SocketAddress::numeric(first_global_address(), 1).ok());
}

TEST(HostPort, ParsesWhatItFormats) {
  const struct {
    const char* host;
    std::uint16_t port;
    const char* text;
  } cases[] = {{"10.0.0.1", 20000, "10.0.0.1:20000"},
               {"host.example", 0, "host.example:0"},
               {"::1", 65535, "[::1]:65535"}};
  for (const auto& c : cases) {
    EXPECT_EQ(format_host_port(c.host, c.port), c.text);
    const auto parsed = parse_host_port(c.text);
    ASSERT_TRUE(parsed.ok()) << c.text;
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port, c.port);
  }
}

TEST(HostPort, RefusesEverythingElse) {
  for (const char* text :
       {"", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:8x", "host: 80", "::1:80",
        "[::1]", "[::1]80", "[::1:80", "[]:80", "host:99999999999999999999"}) {
    const auto parsed = parse_host_port(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace sluice
