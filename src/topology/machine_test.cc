#include "src/topology/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

Machine tree(const std::string& name) {
  auto machine = read_machine(SLUICE_TREES "/" + name);
  EXPECT_TRUE(machine.ok()) << machine.status().to_string();
  return machine.take();
}

TEST(Machine, ReadsEverythingOfARichOne) {
  const Machine machine = tree("a3-high");
  ASSERT_EQ(machine.gpus.size(), 8u);
  EXPECT_EQ(machine.gpus[0].pci.address, "0000:04:00.0");
  EXPECT_EQ(machine.gpus[0].pci.root, "pci0000:00");
  EXPECT_THAT(machine.gpus[0].pci.above, ElementsAre("0000:00:01.0", "0000:03:00.0"));
  EXPECT_EQ(machine.gpus[0].pci.numa_node, 0);
  EXPECT_EQ(machine.gpus[7].pci.address, "0000:8b:00.0");
  EXPECT_EQ(machine.gpus[7].pci.numa_node, 1);
  ASSERT_EQ(machine.nics.size(), 5u);
  EXPECT_EQ(machine.nics[1].name, "eth1");
  EXPECT_EQ(machine.nics[1].pci.address, "0000:06:00.0");
  EXPECT_EQ(machine.nics[1].gbits_per_s, 200);
  ASSERT_EQ(machine.nodes.size(), 2u);
  EXPECT_EQ(machine.nodes[1].cpus, "52-103,156-207");
}

TEST(Machine, WithoutGpusAndWithAVirtioNic) {
  const Machine machine = tree("no-gpu");
  EXPECT_TRUE(machine.gpus.empty());
  ASSERT_EQ(machine.nics.size(), 1u);
  EXPECT_EQ(machine.nics[0].name, "eth0");
  EXPECT_EQ(machine.nics[0].pci.address, "0000:00:03.0");
  EXPECT_EQ(machine.nics[0].pci.numa_node, -1);
  EXPECT_EQ(machine.nics[0].gbits_per_s, 0) << "the file says -1";
}

TEST(Machine, DistancesOfEveryKind) {
  const Machine machine = tree("a3-high");
  const PciPlace& gpu = machine.gpus[0].pci;
  EXPECT_EQ(distance(gpu, machine.nics[1].pci), Distance::kSwitch);
  EXPECT_EQ(distance(gpu, machine.nics[2].pci), Distance::kHostBridge);
  EXPECT_EQ(distance(gpu, machine.nics[3].pci), Distance::kSystem);
  const Machine one_node = tree("one-node");
  EXPECT_EQ(distance(one_node.gpus[0].pci, one_node.nics[0].pci), Distance::kNode);
  const Machine unknown = tree("unknown-node");
  EXPECT_EQ(distance(unknown.gpus[0].pci, unknown.nics[1].pci), Distance::kSystem)
      << "-1 and -1 are not the same node";
}

TEST(Machine, NoTreeIsAnErrorThatNamesIt) {
  const auto machine = read_machine("/nonexistent/sys");
  EXPECT_EQ(machine.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(machine.status().message()), HasSubstr("/nonexistent/sys"));
}

// A recorded tree comes from somebody else.
TEST(Machine, StrangeFilesAreNoDevices) {
  const fs::path root = fs::path(::testing::TempDir()) / "strange-sysfs";
  fs::remove_all(root);
  const auto write = [&](const char* file, const std::string& text) {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  };
  write("class/net/bonding_masters", "bond0\n");
  write("class/net/eth0/type", "1\n");
  write("class/net/eth0/speed", std::string(1 << 20, '9'));
  write("class/net/eth0/device/numa_node", "not a number\n");
  write("class/net/eth1/type", "772\n");
  write("class/net/eth1/device/numa_node", "0\n");
  write("bus/pci/devices/0000:zz:00.0/vendor", "0x10de\n");
  write("bus/pci/devices/0000:zz:00.0/class", "");
  write("devices/system/node/nodeX/cpulist", "0\n");
  write("devices/system/node/node99999999999999/cpulist", "0\n");
  fs::create_directory_symlink("loop", root / "class/net/loop");
  const auto machine = read_machine(root.string());
  ASSERT_TRUE(machine.ok());
  EXPECT_TRUE(machine->gpus.empty());
  ASSERT_EQ(machine->nics.size(), 1u);
  EXPECT_EQ(machine->nics[0].name, "eth0");
  EXPECT_EQ(machine->nics[0].gbits_per_s, 0);
  EXPECT_EQ(machine->nics[0].pci.address, "");
  EXPECT_TRUE(machine->nodes.empty());
}

}  // namespace
}  // namespace sluice
