// The unmodified TCPX plugin under the emulator. Run by the launcher, with SLUICE_TCPX_PLUGIN.
#include "tests/emulator/tcpx_plugin.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <vector>

#include "src/base/fd.h"
#include "tests/emulator/device_buffer.h"
#include "tests/emulator/settings.h"

namespace sluice::emulator {
namespace {

using nccl_abi::ResultCode;

constexpr std::size_t kChunkBytes = 512 << 10;
constexpr std::size_t kWindow = 16;

class TcpxPluginTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGPIPE, SIG_IGN);  // The plugin does nothing against it.
    if (environment_of("SLUICE_TCPX_PLUGIN").empty()) GTEST_SKIP() << "no SLUICE_TCPX_PLUGIN";
    ASSERT_NE(tcpx_plugin(), nullptr);
  }
};

void fill(std::span<std::byte> device, std::uint64_t message) {
  std::vector<std::byte> bytes(device.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = pattern(message, i);
  copy_to_device(device.data(), bytes);
}

bool has_pattern(std::span<std::byte> device, std::uint64_t message) {
  std::vector<std::byte> bytes(device.size());
  copy_from_device(bytes, device.data());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != pattern(message, i)) return false;
  }
  return true;
}

// One message, from its posting to its consumption.
void move(Connection& connection, std::span<std::byte> from, std::span<std::byte> to,
          std::uint64_t message) {
  fill(from, message);
  copy_to_device(to.data(), std::vector<std::byte>(to.size()));
  void* send = connection.send(from);
  void* receive = connection.receive(to);
  ASSERT_NE(send, nullptr);
  ASSERT_NE(receive, nullptr);
  bool sent = false;
  bool received = false;
  while (!sent || !received) {
    sent = sent || connection.test(send);
    received = received || connection.test(receive);
    ::sched_yield();
  }
  EXPECT_EQ(connection.unpack_and_consume(receive, to), static_cast<long>(from.size()));
  EXPECT_TRUE(has_pattern(to.first(from.size()), message)) << from.size() << " bytes";
}

TEST_F(TcpxPluginTest, TellsThePropertiesOfLoopback) {
  nccl_abi::v7::Properties properties{};
  ASSERT_EQ(tcpx_plugin()->get_properties(0, &properties), ResultCode::kSuccess);
  EXPECT_STREQ(properties.name, "lo");
  EXPECT_EQ(properties.pointer_support, nccl_abi::kPointerHost | nccl_abi::kPointerCuda);
  EXPECT_EQ(properties.device_type, nccl_abi::kDeviceUnpack);
  ASSERT_NE(properties.pci_path, nullptr);
  EXPECT_NE(std::string(properties.pci_path).find("0000:"), std::string::npos);
}

TEST_F(TcpxPluginTest, MessagesOfAllSizesArriveUnharmed) {
  Connection connection;
  connection.listen();
  connection.connect_and_accept();
  const DeviceBuffer from(kChunkBytes);
  const DeviceBuffer to(kChunkBytes);
  connection.register_send(from.bytes());
  connection.register_receive(to.bytes());
  std::uint64_t message = 0;
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{4095}, std::size_t{4096},
        std::size_t{4097}, std::size_t{0}, std::size_t{131071}, kChunkBytes}) {
    move(connection, from.bytes().first(bytes), to.bytes(), message++);
  }
  // Shorter than what the receiver expects, and not from the start of what was registered.
  move(connection, from.bytes().subspan(12345, 777), to.bytes(), message);
}

TEST_F(TcpxPluginTest, FourHundredChunksGoThroughAFullWindow) {
  constexpr std::uint64_t kMessages = 400;
  Connection connection;
  connection.listen();
  connection.connect_and_accept();
  const DeviceBuffer from(kChunkBytes * kWindow);
  const DeviceBuffer to(kChunkBytes * kWindow);
  connection.register_send(from.bytes());
  connection.register_receive(to.bytes());
  const auto slot = [](const DeviceBuffer& pages, std::uint64_t message) {
    return pages.bytes().subspan(message % kWindow * kChunkBytes, kChunkBytes);
  };
  std::deque<void*> sends;
  std::deque<void*> receives;
  std::uint64_t posted_sends = 0;
  std::uint64_t posted_receives = 0;
  std::uint64_t arrived = 0;
  while (arrived < kMessages) {
    if (posted_receives < kMessages && receives.size() < kWindow) {
      receives.push_back(connection.receive(slot(to, posted_receives++)));
    }
    if (posted_sends < kMessages && sends.size() < kWindow) {
      fill(slot(from, posted_sends), posted_sends);
      sends.push_back(connection.send(slot(from, posted_sends++)));
    }
    if (!sends.empty() && connection.test(sends.front())) sends.pop_front();
    if (!receives.empty() && connection.test(receives.front())) {
      ASSERT_EQ(connection.unpack_and_consume(receives.front(), slot(to, arrived)),
                static_cast<long>(kChunkBytes));
      ASSERT_TRUE(has_pattern(slot(to, arrived), arrived)) << "message " << arrived;
      receives.pop_front();
      ++arrived;
    }
    ::sched_yield();
  }
  while (!sends.empty()) {
    if (connection.test(sends.front())) sends.pop_front();
  }
  EXPECT_GE(connection.fragments_seen(), kMessages * (kChunkBytes / nccl_abi::kUnpackPageBytes));
}

TEST_F(TcpxPluginTest, AClosedConnectionLetsTheNextOneWork) {
  const DeviceBuffer from(kChunkBytes);
  const DeviceBuffer to(kChunkBytes);
  for (std::uint64_t i = 0; i < 3; ++i) {
    Connection connection;
    connection.listen();
    connection.connect_and_accept();
    connection.register_send(from.bytes());
    connection.register_receive(to.bytes());
    move(connection, from.bytes().first(5000), to.bytes(), i);
    if (i % 2 == 0) {
      connection.close_send();
    } else {
      connection.close_receive();
    }
  }
}

// The other process of the next test: it receives one message and dies.
TEST_F(TcpxPluginTest, DISABLED_ReceivesOneMessageAndDies) {
  Connection connection;
  connection.listen();
  ASSERT_EQ(::write(STDOUT_FILENO, connection.handle().data(), connection.handle().size()),
            static_cast<ssize_t>(connection.handle().size()));
  connection.accept();
  const DeviceBuffer to(kChunkBytes);
  connection.register_receive(to.bytes());
  void* request = connection.receive(to.bytes());
  while (!connection.test(request)) ::sched_yield();
  ::_exit(::testing::Test::HasFailure() ? 1 : 0);
}

// Starts this program again for one disabled test, its standard output in `output`.
pid_t start_again(const char* test, int output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  const std::string filter = std::string("--gtest_filter=") + test;
  const char* arguments[] = {"/proc/self/exe", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
                             filter.c_str(), nullptr};
  pid_t child = -1;
  const int error = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr,
                                  const_cast<char* const*>(arguments), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? child : -1;
}

// Reads until the handle came: it follows what the test framework printed.
Handle read_handle(int pipe) {
  std::string text;
  char byte = 0;
  while (::read(pipe, &byte, 1) == 1) {
    text += byte;
    const std::size_t line = text.rfind("]\n");  // gtest's last line before a test runs.
    if (line == std::string::npos ? text.size() == sizeof(Handle)
                                  : text.size() - line - 2 == sizeof(Handle)) {
      break;
    }
  }
  Handle handle{};
  if (text.size() >= handle.size()) {
    std::memcpy(handle.data(), text.data() + text.size() - handle.size(), handle.size());
  }
  return handle;
}

TEST_F(TcpxPluginTest, APeerThatDiesEndsSendsWithARemoteError) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const Fd reading(pipe[0]);
  Fd writing(pipe[1]);
  const pid_t peer =
      start_again("TcpxPluginTest.DISABLED_ReceivesOneMessageAndDies", writing.get());
  ASSERT_GT(peer, 0);
  writing.reset();
  Connection connection;
  connection.connect(read_handle(reading.get()));
  const DeviceBuffer from(kChunkBytes);
  connection.register_send(from.bytes());
  void* first = connection.send(from.bytes());
  while (!connection.test(first)) ::sched_yield();
  int status = -1;
  ASSERT_EQ(::waitpid(peer, &status, 0), peer);
  EXPECT_EQ(status, 0);
  // Not at once: what the dead peer's kernel had room for went out.
  ResultCode code = ResultCode::kSuccess;
  while (code == ResultCode::kSuccess) {
    void* request = connection.send(from.bytes(), &code);
    while (code == ResultCode::kSuccess && !connection.test(request, &code)) ::sched_yield();
  }
  EXPECT_EQ(code, ResultCode::kSystemError);
}

}  // namespace
}  // namespace sluice::emulator
