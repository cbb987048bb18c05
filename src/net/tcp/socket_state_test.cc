#include "src/net/tcp/socket_state.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>

#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST(DescribeSocket, TellsWhatNobodyHasReadYet) {
  const auto [client, server] = testing::tcp_pair();
  ASSERT_EQ(::send(client.get(), "1234567", 7, 0), 7);
  char read[8];
  ASSERT_EQ(::recv(server.get(), read, 7, MSG_PEEK | MSG_WAITALL), 7);
  EXPECT_TRUE(has(describe_socket(server.get()), "established, rtt "));
  EXPECT_TRUE(has(describe_socket(server.get()), "7 bytes to read"))
      << describe_socket(server.get());
  EXPECT_TRUE(has(describe_socket(client.get()), "0 bytes to read"));
}

TEST(DescribeSocket, TellsThatTheOtherEndHasClosed) {
  auto [client, server] = testing::tcp_pair();
  client.reset();
  char read[1];
  ASSERT_EQ(::recv(server.get(), read, 1, 0), 0);
  EXPECT_TRUE(has(describe_socket(server.get()), "close-wait")) << describe_socket(server.get());
}

TEST(DescribeSocket, SaysNothingOfWhatIsNoTcpSocket) { EXPECT_EQ(describe_socket(-1), ""); }

}  // namespace
}  // namespace sluice
