#include "src/net/plugin/plugin_handle.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice {
namespace {

PluginHandle sample() {
  PluginHandle handle{};
  for (std::size_t i = 0; i < 80; ++i) handle[i] = static_cast<std::byte>(i + 1);
  return handle;
}

TEST(PluginHandle, ComesBackAsItWas) {
  for (const bool is_tcpx : {false, true}) {
    const auto handle = unwrap_handle(wrap_handle(sample(), 7), 7, is_tcpx);
    ASSERT_TRUE(handle.ok()) << handle.status().to_string();
    EXPECT_EQ(*handle, sample());
  }
}

TEST(PluginHandle, AnyOtherByteAndAnyOtherLengthIsRefused) {
  const WrappedHandle good = wrap_handle(sample(), 7);
  for (std::size_t i = 0; i < good.size(); ++i) {
    WrappedHandle bad = good;
    bad[i] ^= std::byte{0x10};
    EXPECT_EQ(unwrap_handle(bad, 7, false).status().code(), StatusCode::kProtocol) << i;
    EXPECT_FALSE(unwrap_handle(std::span(good).first(i), 7, false).ok()) << i;
  }
  std::vector<std::byte> longer(good.begin(), good.end());
  longer.push_back(std::byte{0});
  EXPECT_FALSE(unwrap_handle(longer, 7, false).ok());
}

TEST(PluginHandle, EndsWithOtherTablesDoNotMeet) {
  EXPECT_FALSE(unwrap_handle(wrap_handle(sample(), 8), 7, false).ok());
}

// A peer that could write here would choose an address for the plugin to follow.
TEST(PluginHandle, TcpxTakesNoStateFromAPeer) {
  for (const std::size_t i : {80u, 87u, 88u, 127u}) {
    PluginHandle hostile = sample();
    hostile[i] = std::byte{1};
    EXPECT_FALSE(unwrap_handle(wrap_handle(hostile, 7), 7, true).ok()) << i;
    EXPECT_TRUE(unwrap_handle(wrap_handle(hostile, 7), 7, false).ok()) << i;
  }
}

}  // namespace
}  // namespace sluice
