#include "src/net/plugin/plugin_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "src/base/log.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string testing_plugin(const std::string& kind) {
  return std::string(SLUICE_TESTING_PLUGINS) + "/libtesting_plugin_" + kind + ".so";
}

std::string message_of(const Result<LoadedPlugin>& plugin) {
  EXPECT_FALSE(plugin.ok());
  return std::string(plugin.status().message());
}

std::vector<std::string>& lines() {
  static std::vector<std::string> all;
  return all;
}

class PluginLibrary : public testing::Test {
 protected:
  void SetUp() override { ::unsetenv("NCCL_NET_PLUGIN"); }
  void TearDown() override { SetUp(); }
};

TEST_F(PluginLibrary, TakesTheNewestTableAndSaysSoInOneLine) {
  lines().clear();
  set_log_sink([](LogLevel, std::string_view line) { lines().emplace_back(line); });
  set_log_level(LogLevel::kInfo);
  const auto plugin = load_plugin(testing_plugin("two_tables"), 4096);
  set_log_level(LogLevel::kWarning);
  set_log_sink(nullptr);
  ASSERT_TRUE(plugin.ok()) << plugin.status().to_string();
  EXPECT_EQ(plugin->table->version(), 9);
  EXPECT_EQ(plugin->table->name(), "Testing_v9");
  EXPECT_EQ(plugin->devices, 1);
  EXPECT_EQ(plugin->file, testing_plugin("two_tables"));
  EXPECT_THAT(lines(), ElementsAre("info plugin file " + plugin->file +
                                   " table v9 name Testing_v9 devices 1"));
}

TEST_F(PluginLibrary, IsInitialisedOnceHoweverOftenItIsLoaded) {
  for (int i = 0; i < 3; ++i) {
    const auto plugin = load_plugin(testing_plugin("two_tables"), 4096);
    EXPECT_TRUE(plugin.ok()) << plugin.status().to_string();
  }
}

TEST_F(PluginLibrary, AFileThatIsNotThereIsAnErrorWithTheLoadersWords) {
  const auto plugin = load_plugin("/nowhere/libnccl-net.so", 4096);
  EXPECT_EQ(plugin.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(message_of(plugin), HasSubstr("/nowhere/libnccl-net.so: cannot open shared object"));
}

TEST_F(PluginLibrary, AShortNameIsLookedForAsItStandsAndInItsLongForm) {
  const auto plugin = load_plugin("nobody", 4096);
  EXPECT_EQ(plugin.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(message_of(plugin), HasSubstr("nobody: cannot open"));
  EXPECT_THAT(message_of(plugin), HasSubstr("libnccl-net-nobody.so: cannot open"));
}

TEST_F(PluginLibrary, TheUsualSearchFollowsTheEnvironment) {
  EXPECT_THAT(message_of(load_plugin("", 4096)), HasSubstr("libnccl-net.so"));
  ::setenv("NCCL_NET_PLUGIN", testing_plugin("two_tables").c_str(), 1);
  const auto plugin = load_plugin("", 4096);
  EXPECT_TRUE(plugin.ok()) << plugin.status().to_string();
  ::setenv("NCCL_NET_PLUGIN", "nobody", 1);
  EXPECT_THAT(message_of(load_plugin("", 4096)), HasSubstr("libnccl-net-nobody.so"));
}

TEST_F(PluginLibrary, ALibraryWithoutATableIsAnError) {
  const auto plugin = load_plugin("libm.so.6", 4096);
  EXPECT_EQ(plugin.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(message_of(plugin), HasSubstr("none of ncclNetPlugin_v12 to ncclNetPlugin_v5"));
}

TEST_F(PluginLibrary, ATableWithoutAFunctionIsAnErrorThatNamesIt) {
  const auto plugin = load_plugin(testing_plugin("no_isend"), 4096);
  EXPECT_EQ(plugin.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(message_of(plugin), HasSubstr("no_isend.so"));
  EXPECT_THAT(message_of(plugin), HasSubstr("has no isend"));
}

TEST_F(PluginLibrary, APluginThatFailsSaysWhyAndIsNotTriedAgain) {
  for (int i = 0; i < 2; ++i) {
    const auto plugin = load_plugin(testing_plugin("init_fails"), 4096);
    EXPECT_EQ(plugin.status().code(), StatusCode::kSystem);
    EXPECT_THAT(message_of(plugin), HasSubstr("init of plugin Testing_v7 says SystemError (2)"));
    EXPECT_THAT(message_of(plugin), HasSubstr("no rxdm today"));
  }
}

TEST_F(PluginLibrary, NoDeviceIsAnError) {
  EXPECT_EQ(load_plugin(testing_plugin("no_device"), 4096).status().code(),
            StatusCode::kUnavailable);
}

}  // namespace
}  // namespace sluice
