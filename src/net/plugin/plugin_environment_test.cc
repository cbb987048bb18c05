#include "src/net/plugin/plugin_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace sluice {
namespace {

class PluginEnvironment : public testing::Test {
 protected:
  void TearDown() override {
    ::unsetenv("NCCL_NET_PLUGIN");
    ::unsetenv("NCCL_DYNAMIC_CHUNK_SIZE");
  }
  void SetUp() override { TearDown(); }
};

TEST_F(PluginEnvironment, NamesOnePlugin) {
  EXPECT_EQ(*plugin_of_environment(), "");
  ::setenv("NCCL_NET_PLUGIN", "/a/libnccl-net.so", 1);
  EXPECT_EQ(*plugin_of_environment(), "/a/libnccl-net.so");
  for (const char* other : {"none", "STATIC_PLUGIN", "one,two"}) {
    ::setenv("NCCL_NET_PLUGIN", other, 1);
    const auto plugin = plugin_of_environment();
    ASSERT_FALSE(plugin.ok()) << other;
    EXPECT_THAT(std::string(plugin.status().message()), testing::HasSubstr(other));
  }
}

TEST_F(PluginEnvironment, ChunkSizeIsSetWhereItIsNot) {
  EXPECT_EQ(*require_dynamic_chunk_bytes(1 << 20), 1u << 20);
  EXPECT_STREQ(std::getenv("NCCL_DYNAMIC_CHUNK_SIZE"), "1048576");
  EXPECT_EQ(*require_dynamic_chunk_bytes(4096), 1u << 20) << "the first word counts";
}

TEST_F(PluginEnvironment, AChunkSizeThatThePluginWouldReadOtherwiseIsAnError) {
  for (const char* value : {"", "512K", "0", "-1", "4095", " 524288", "0x80000", "99999999999"}) {
    ::setenv("NCCL_DYNAMIC_CHUNK_SIZE", value, 1);
    const auto bytes = require_dynamic_chunk_bytes(4096);
    ASSERT_FALSE(bytes.ok()) << value;
    EXPECT_EQ(bytes.status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace sluice
