#include "src/orchestrator/engine_place.h"

#include <gtest/gtest.h>

#include <array>

namespace sluice {
namespace {

Machine machine_of(const std::string& tree) {
  auto machine = read_machine(SLUICE_TREES "/" + tree);
  EXPECT_TRUE(machine.ok()) << machine.status().to_string();
  return machine.take();
}

TEST(GpuPlaces, A3HighsFollowGooglesMap) {
  const Machine machine = machine_of("a3-high");
  const auto map = map_nics(machine);
  ASSERT_TRUE(map.ok());
  const auto all = parse_gpus("all", static_cast<std::uint32_t>(machine.gpus.size()));
  ASSERT_TRUE(all.ok());
  const auto places = gpu_places(machine, *map, *all);
  ASSERT_EQ(places.size(), 8u);
  for (std::size_t i = 0; i < places.size(); ++i) {
    EXPECT_EQ(places[i].name, "gpu" + std::to_string(i));
    EXPECT_EQ(places[i].gpu, static_cast<int>(i));
    EXPECT_EQ(places[i].nic, "eth" + std::to_string(i / 2 + 1));
    EXPECT_FALSE(places[i].cores.empty());
  }
  EXPECT_NE(places[0].cores, places[7].cores) << "NICs of different NUMA nodes";
}

TEST(GpuPlaces, AGpuThatTheTreeDoesNotShowRunsAnywhere) {
  const std::array<std::uint32_t, 1> gpus{3};
  const auto places = gpu_places(Machine{}, {}, gpus);
  ASSERT_EQ(places.size(), 1u);
  EXPECT_EQ(places[0].name, "gpu3");
  EXPECT_EQ(places[0].nic, "");
  EXPECT_EQ(places[0].cores, "");
}

TEST(HostPlaces, ShareOutNicsElseNodes) {
  Machine machine;
  EXPECT_EQ(host_places(machine, 2)[1].cores, "");
  machine.nodes = {{0, "0-3"}, {1, "4-7"}};
  const auto nodes = host_places(machine, 3);
  EXPECT_EQ(nodes[0].cores, "0-3");
  EXPECT_EQ(nodes[1].cores, "4-7");
  EXPECT_EQ(nodes[2].cores, "0-3");
  NicPlace nic;
  nic.name = "eth1";
  nic.pci.numa_node = 1;
  machine.nics = {nic};
  for (const EnginePlace& place : host_places(machine, 2)) {
    EXPECT_EQ(place.nic, "eth1");
    EXPECT_EQ(place.cores, "4-7");
    EXPECT_EQ(place.gpu, -1);
  }
}

TEST(ParseGpus, ReadsAListAndRefusesAnythingElse) {
  const auto gpus = parse_gpus("3,0", 4);
  ASSERT_TRUE(gpus.ok());
  EXPECT_EQ(*gpus, (std::vector<std::uint32_t>{3, 0}));
  for (const char* list : {"", "4", "0,0", "0,", "-1", "one", "all,1"}) {
    const Status status = parse_gpus(list, 4).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << list;
    EXPECT_NE(status.message().find("legal are"), std::string_view::npos) << list;
  }
}

TEST(OptionsAt, NameGpuDeviceAndPort) {
  Options base;
  base.net = "plugin:x.so";
  base.listen_port = 20000;
  const EnginePlace place{"gpu2", 2, "eth2", "0-3"};
  const Options options = options_at(base, place, 2);
  EXPECT_EQ(options.name, "gpu2");
  EXPECT_EQ(options.gpu, "2");
  EXPECT_EQ(options.device, "eth2?");
  EXPECT_EQ(options.listen_port, 20002);

  base.net = "tcp";
  base.name = "node7";
  base.listen_port = 0;
  const Options host = options_at(base, {"host1", -1, "eth1", ""}, 1);
  EXPECT_EQ(host.name, "node7/host1");
  EXPECT_EQ(host.gpu, "none");
  EXPECT_EQ(host.device, "") << "the tcp Net has one Device, whatever its NICs are called";
  EXPECT_EQ(host.listen_port, 0);
}

}  // namespace
}  // namespace sluice
