// What init() makes of the environment, and how often it may be called. Each case in a process of
// its own, because the plugin's state is the process's.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "tests/nccl_plugin/nccl_fixture.h"

namespace sluice::nccl_test {
namespace {

std::atomic<int> warnings{0};
std::atomic<int> information{0};

void logger(nccl_abi::DebugLevel level, unsigned long, const char*, int, const char* format, ...) {
  char line[1000];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  (level == nccl_abi::DebugLevel::kWarn ? warnings : information)++;
  std::fprintf(stderr, "%s\n", line);
}

class NcclInitTest : public ::testing::TestWithParam<int> {
 protected:
  using Environment = std::map<const char*, const char*>;

  // In a child: `body` says with its Api whether all is well.
  template <typename Body>
  void in_child(const Environment& environment, const char* says, Body body) {
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_EXIT(
        {
          for (const auto& [name, value] : environment) ::setenv(name, value, 1);
          const auto api = Api::open(GetParam(), Api::Library::kPosing);
          ::_exit(api != nullptr && body(*api) ? 0 : 1);
        },
        ::testing::ExitedWithCode(0), says);
  }
};

INSTANTIATE_TEST_SUITE_P(Version, NcclInitTest, ::testing::Range(kOldest, kNewest + 1));

bool works(Api& api, void* context) {
  int count = 0;
  Handle handle{};
  void* listening = nullptr;
  return api.devices(&count) == ResultCode::kSuccess && count == 1 &&
         api.listen(context, 0, handle.data(), &listening) == ResultCode::kSuccess &&
         api.close_listen(listening) == ResultCode::kSuccess;
}

TEST_P(NcclInitTest, TellsNcclWhatItFound) {
  in_child({{"NCCL_SOCKET_IFNAME", "=lo"}, {"NCCL_SOCKET_NTHREADS", "3"}},
           "NET/sluice : info nccl 1 devices, 3 sockets a connection, HOST mode: lo \\(127.0.0.1",
           [](Api& api) {
             void* context = nullptr;
             return api.init(&context, logger, nullptr) == ResultCode::kSuccess &&
                    information > 0 && warnings == 0;
           });
}

TEST_P(NcclInitTest, ANicThatIsNotThereIsAnErrorThatNamesThoseThatAre) {
  in_child({{"NCCL_SOCKET_IFNAME", "=nothing"}}, "'=nothing' leaves no network interface of .*lo",
           [](Api& api) {
             void* context = nullptr;
             int count = -1;
             return api.init(&context, logger, nullptr) == ResultCode::kInvalidArgument &&
                    context == nullptr && warnings == 1 &&
                    api.devices(&count) == ResultCode::kSuccess && count == 0;
           });
}

TEST_P(NcclInitTest, MalformedNumbersAreErrors) {
  for (const char* bad : {"0", "17", "two", "-1", "4x"}) {
    in_child({{"NCCL_SOCKET_IFNAME", "=lo"}, {"NCCL_NSOCKS_PERTHREAD", bad}},
             "NCCL_NSOCKS_PERTHREAD=.*1 to 16", [](Api& api) {
               void* context = nullptr;
               return api.init(&context, logger, nullptr) == ResultCode::kInvalidArgument;
             });
  }
}

const std::map<const char*, const char*> kUnpacking{
    {"NCCL_SOCKET_IFNAME", "=lo"}, {"SLUICE_NCCL_DEVICE", "unpack"}, {"NCCL_PROTO", "simple"},
    {"NCCL_ALGO", "RING"},         {"NCCL_GRAPH_REGISTER", "0"},     {"NCCL_LOCAL_REGISTER", "0"},
    {"NCCL_NET_GDR_READ", "0"}};

bool unpacks(Api& api) {
  void* context = nullptr;
  Properties properties;
  return api.init(&context, logger, nullptr) == ResultCode::kSuccess &&
         api.get_properties(0, properties) == ResultCode::kSuccess &&
         properties.device_type == nccl_abi::kDeviceUnpack;
}

TEST_P(NcclInitTest, UnpackModeIsToldToTablesThatKnowIt) {
  in_child(kUnpacking, "UNPACK mode: lo",
           [](Api& api) { return unpacks(api) == (GetParam() >= 7) && warnings == 0; });
}

TEST_P(NcclInitTest, UnpackModeWithoutItsEnvironmentIsHostModeAndAWarning) {
  for (const char* name : {"NCCL_PROTO", "NCCL_ALGO", "NCCL_GRAPH_REGISTER", "NCCL_LOCAL_REGISTER",
                           "NCCL_NET_GDR_READ"}) {
    Environment environment = kUnpacking;
    for (auto& [variable, value] : environment) {
      if (std::strcmp(variable, name) == 0) value = "Simple,LL";
    }
    const std::string says = std::string("UNPACK mode needs ") + name + "=.*HOST mode is used";
    in_child(environment, says.c_str(), [](Api& api) { return !unpacks(api) && warnings == 1; });
  }
}

TEST_P(NcclInitTest, AnUnknownDeviceIsAnError) {
  in_child({{"NCCL_SOCKET_IFNAME", "=lo"}, {"SLUICE_NCCL_DEVICE", "gpu"}},
           "nccl_device: .gpu. is not legal", [](Api& api) {
             void* context = nullptr;
             return api.init(&context, logger, nullptr) == ResultCode::kInvalidArgument;
           });
}

TEST_P(NcclInitTest, InitIsCountedAndMayFollowAFailedOne) {
  in_child({{"NCCL_SOCKET_IFNAME", "=nothing"}}, "", [](Api& api) {
    void* context = nullptr;
    if (api.init(&context, logger, nullptr) == ResultCode::kSuccess) return false;
    api.finalize(context);  // NCCL 2.28 does.
    ::setenv("NCCL_SOCKET_IFNAME", "=lo", 1);
    void* first = nullptr;
    void* second = nullptr;
    if (api.init(&first, logger, nullptr) != ResultCode::kSuccess) return false;
    if (api.init(&second, logger, nullptr) != ResultCode::kSuccess) return false;
    if (!works(api, first) || !works(api, second)) return false;
    api.finalize(context);
    api.finalize(first);
    if (!works(api, second)) return false;
    api.finalize(first);  // Once too often, which harms nobody.
    if (!works(api, second)) return false;
    api.finalize(second);
    void* third = nullptr;
    return api.init(&third, logger, nullptr) == ResultCode::kSuccess && works(api, third);
  });
}

}  // namespace
}  // namespace sluice::nccl_test
