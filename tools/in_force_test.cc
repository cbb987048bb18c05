#include "tools/in_force.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace sluice::tools {
namespace {

using ::testing::ElementsAre;

SettingInForce find(const std::vector<SettingInForce>& list, std::string_view name) {
  for (const SettingInForce& entry : list) {
    if (name == entry.setting->name) return entry;
  }
  ADD_FAILURE() << name;
  return {};
}

class InForceTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("SLUICE_WINDOW", "8", 1); }
  void TearDown() override { ::unsetenv("SLUICE_WINDOW"); }
};

TEST_F(InForceTest, EveryValueTellsWhereItComesFrom) {
  Result<InForce> made = InForce::from_environment();
  ASSERT_TRUE(made.ok());
  InForce in_force = made.take();
  ASSERT_TRUE(in_force.set("chunk-bytes", "1M", "--chunk").ok());
  ASSERT_TRUE(in_force.set("perf_size", "64K", "--size").ok());

  const auto list = in_force.all_settings();
  EXPECT_EQ(list.size(), settings().size() + perf_settings().size());
  EXPECT_EQ(find(list, "channels").source, "default");
  EXPECT_EQ(find(list, "window").source, "SLUICE_WINDOW");
  EXPECT_EQ(find(list, "window").value, "8");
  EXPECT_EQ(find(list, "chunk_bytes").source, "--chunk");
  EXPECT_EQ(find(list, "chunk_bytes").value, "1048576");
  EXPECT_EQ(find(list, "perf_size").source, "--size");

  ASSERT_TRUE(in_force.set("window", "4", "--window").ok());
  EXPECT_EQ(find(in_force.engine_settings(), "window").source, "--window");
  EXPECT_THAT(in_force.overrides(), ElementsAre("chunk_bytes=1048576", "window=4"));
}

TEST_F(InForceTest, PreferencesGiveWay) {
  InForce in_force = InForce::from_environment().take();
  ASSERT_TRUE(in_force.set("channels", "4", "--channels").ok());
  for (const char* name : {"window", "channels", "small_bytes"}) {
    EXPECT_TRUE(in_force.prefer(name, "2", "a command").ok());
  }
  EXPECT_EQ(in_force.options().window, 8u);
  EXPECT_EQ(in_force.options().channels, 4u);
  EXPECT_EQ(in_force.options().small_bytes, 2u);
  EXPECT_EQ(find(in_force.engine_settings(), "small_bytes").source, "a command");
  EXPECT_FALSE(in_force.prefer("chunk_bytes", "0", "a command").ok());
}

TEST_F(InForceTest, SecretsAreNotShown) {
  InForce in_force = InForce::from_environment().take();
  EXPECT_EQ(find(in_force.engine_settings(), "token").value, "");
  ASSERT_TRUE(in_force.set("token", "sesame", "--token").ok());
  EXPECT_EQ(find(in_force.engine_settings(), "token").value, "(set)");
  EXPECT_EQ(in_force.options().token, "sesame");
  EXPECT_TRUE(in_force.overrides().empty());
}

TEST_F(InForceTest, RefusalsChangeNothing) {
  InForce in_force = InForce::from_environment().take();
  EXPECT_EQ(in_force.set("window", "0", "--window").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(in_force.set("perf_depth", "0", "--depth").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(in_force.set("widow", "1", "--set").message(),
            "widow is not a setting, the nearest is window");
  EXPECT_EQ(find(in_force.engine_settings(), "window").source, "SLUICE_WINDOW");
  EXPECT_TRUE(in_force.overrides().empty());
}

TEST_F(InForceTest, MalformedEnvironmentIsAnError) {
  ::setenv("SLUICE_WINDOW", "wide", 1);
  EXPECT_FALSE(InForce::from_environment().ok());
}

}  // namespace
}  // namespace sluice::tools
