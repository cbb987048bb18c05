#include "plugins/nccl/nics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::nccl_plugin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<std::string> kAll = {"lo", "eth0", "eth01", "ens4", "docker0"};

TEST(ChooseInterfaces, WithoutARuleLoopbackAndDockerAreLastResorts) {
  EXPECT_THAT(choose_interfaces("", kAll), ElementsAre("eth0", "eth01", "ens4"));
  EXPECT_THAT(choose_interfaces("", {"lo", "docker0"}), ElementsAre("docker0"));
  EXPECT_THAT(choose_interfaces("", {"lo"}), ElementsAre("lo"));
  EXPECT_THAT(choose_interfaces("", {}), IsEmpty());
}

TEST(ChooseInterfaces, PrefixesAndWholeNames) {
  EXPECT_THAT(choose_interfaces("eth", kAll), ElementsAre("eth0", "eth01"));
  EXPECT_THAT(choose_interfaces("eth0", kAll), ElementsAre("eth0", "eth01"));
  EXPECT_THAT(choose_interfaces("=eth0", kAll), ElementsAre("eth0"));
  EXPECT_THAT(choose_interfaces("=eth0,lo", kAll), ElementsAre("lo", "eth0"));
  EXPECT_THAT(choose_interfaces("lo", kAll), ElementsAre("lo"));
  EXPECT_THAT(choose_interfaces("ib", kAll), IsEmpty());
}

TEST(ChooseInterfaces, AllButTheListed) {
  EXPECT_THAT(choose_interfaces("^docker,lo", kAll), ElementsAre("eth0", "eth01", "ens4"));
  EXPECT_THAT(choose_interfaces("^=eth0", kAll), ElementsAre("lo", "eth01", "ens4", "docker0"));
}

TEST(ChooseInterfaces, OddLists) {
  EXPECT_THAT(choose_interfaces(",", kAll), IsEmpty());
  EXPECT_THAT(choose_interfaces("=", kAll), IsEmpty());
  EXPECT_THAT(choose_interfaces(",,lo,", kAll), ElementsAre("lo"));
}

TEST(FindNics, LoopbackIsOfferedWhenAskedFor) {
  const auto nics = find_nics("=lo");
  ASSERT_TRUE(nics.ok()) << nics.status().to_string();
  ASSERT_EQ(nics->size(), 1u);
  EXPECT_EQ(nics->front().name, "lo");
  EXPECT_TRUE(nics->front().address.loopback());
  EXPECT_GT(nics->front().speed_mbits, 0);
  EXPECT_EQ(nics->front().pci_path, "");
}

TEST(FindNics, NothingLeftIsAnErrorThatTells) {
  const auto nics = find_nics("=nothing");
  ASSERT_FALSE(nics.ok());
  EXPECT_EQ(nics.status().code(), StatusCode::kNotFound);
  EXPECT_NE(nics.status().message().find("lo"), std::string_view::npos);
}

}  // namespace
}  // namespace sluice::nccl_plugin
