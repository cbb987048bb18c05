#include "src/topology/nic_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Machine tree(const std::string& name) {
  auto machine = read_machine(SLUICE_TREES "/" + name);
  EXPECT_TRUE(machine.ok()) << machine.status().to_string();
  return machine.take();
}

std::vector<std::string> names(const Machine& machine, std::string_view given = "") {
  const auto map = map_nics(machine, given);
  EXPECT_TRUE(map.ok()) << map.status().to_string();
  std::vector<std::string> result;
  for (const NicChoice& choice : *map) result.push_back(machine.nics[choice.nic].name);
  return result;
}

constexpr const char* kA3[] = {"eth1", "eth1", "eth2", "eth2", "eth3", "eth3", "eth4", "eth4"};

TEST(NicMap, A3HighAsGoogleStatesIt) {
  EXPECT_THAT(names(tree("a3-high")), ::testing::ElementsAreArray(kA3));
  EXPECT_THAT(names(tree("a3-high-flat")), ::testing::ElementsAreArray(kA3));
  EXPECT_EQ(map_nics(tree("a3-high-flat"))->front().why, "the map of A3-High");
}

TEST(NicMap, FromDistancesAloneA3HighIsTheSame) {
  Machine machine = tree("a3-high");
  for (GpuPlace& gpu : machine.gpus) gpu.pci.address += "x";  // No longer known by its addresses.
  EXPECT_THAT(names(machine), ::testing::ElementsAreArray(kA3));
  EXPECT_EQ(map_nics(machine)->front().why, "same switch");
}

TEST(NicMap, GpusOfOneDistanceAreSpread) {
  Machine machine = tree("a3-high-flat");
  for (GpuPlace& gpu : machine.gpus) gpu.pci.address += "x";
  EXPECT_THAT(names(machine),
              ElementsAre("eth0", "eth1", "eth2", "eth3", "eth4", "eth0", "eth1", "eth2"));
}

TEST(NicMap, AFasterNicTakesMore) {
  Machine machine = tree("a3-high-flat");
  for (GpuPlace& gpu : machine.gpus) gpu.pci.address += "x";
  machine.gpus.resize(3);
  machine.nics.resize(2);
  machine.nics[1].gbits_per_s = 400;
  EXPECT_THAT(names(machine), ElementsAre("eth1", "eth0", "eth1"));
}

TEST(NicMap, SmallMachines) {
  EXPECT_THAT(names(tree("one-node")), ElementsAre("ens3", "ens3"));
  EXPECT_THAT(names(tree("unknown-node")), ElementsAre("enp18s0", "enp34s0"));
  EXPECT_THAT(names(tree("no-gpu")), ElementsAre());
  Machine no_nics = tree("one-node");
  no_nics.nics.clear();
  EXPECT_THAT(names(no_nics), ElementsAre());
}

TEST(NicMap, WhatIsGivenComesFirst) {
  EXPECT_THAT(names(tree("a3-high"), "gpu0=eth4,gpu7=eth0"),
              ElementsAre("eth4", "eth1", "eth2", "eth2", "eth3", "eth3", "eth4", "eth0"));
  EXPECT_THAT(names(tree("unknown-node"), "gpu0=enp34s0"), ElementsAre("enp34s0", "enp34s0"));
}

TEST(NicMap, MistakesNameWhatThereIs) {
  const Machine machine = tree("one-node");
  const auto message = [&](std::string_view given) {
    const auto map = map_nics(machine, given);
    EXPECT_EQ(map.status().code(), StatusCode::kInvalidArgument) << given;
    return std::string(map.status().message());
  };
  EXPECT_THAT(message("gpu0=eth9"), HasSubstr("the NICs are ens3"));
  EXPECT_THAT(message("gpu2=ens3"), HasSubstr("there are 2 GPUs"));
  EXPECT_THAT(message("gpu99999999999999999999=ens3"), HasSubstr("no number"));
  EXPECT_THAT(message("gpu0=ens3,gpu0=ens3"), HasSubstr("named twice"));
  EXPECT_THAT(message("0=ens3"), HasSubstr("gpu0=eth1,gpu1=eth2"));
  EXPECT_THAT(message("gpu0"), HasSubstr("not of the form"));
  EXPECT_THAT(message(","), HasSubstr("not of the form"));
}

}  // namespace
}  // namespace sluice
