#include "tools/topo_drawing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sluice::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Machine two_gpus() {
  Machine machine;
  machine.gpus = {{{"0000:04:00.0", "pci0000:00", {}, 0}},
                  {{"0000:84:00.0", "pci0000:80", {}, -1}}};
  machine.nics = {{"eth1", {"0000:06:00.0", "pci0000:00", {}, 0}, 200}, {"e<th&2", {}, 0}};
  machine.nodes = {{0, "0-51,104-155"}};
  return machine;
}
const std::vector<NicChoice> kMap{{0, "same host bridge"}, {1, "given"}};

TEST(TopoDrawing, TextSaysWhichNicAndWhy) {
  EXPECT_EQ(topo_text(two_gpus(), kMap),
            "NUMA node unknown\n"
            "  GPU 1   0000:84:00.0  uses e<th&2 (given)\n"
            "  NIC e<th&2     no PCI        speed unknown\n"
            "NUMA node 0: cpus 0-51,104-155\n"
            "  GPU 0   0000:04:00.0  uses eth1 (same host bridge)\n"
            "  NIC eth1       0000:06:00.0  200 Gbit/s\n");
  EXPECT_EQ(topo_text({}, {}),
            "no GPU: host memory may use any NIC\nno physical NIC: loopback only\n");
}

TEST(TopoDrawing, JsonHoldsAllOfIt) {
  const auto document = nlohmann::json::parse(topo_json(two_gpus(), kMap));
  EXPECT_EQ(document["gpus"][1]["nic"], "e<th&2");
  EXPECT_EQ(document["gpus"][0]["why"], "same host bridge");
  EXPECT_EQ(document["gpus"][1]["numa_node"], -1);
  EXPECT_EQ(document["nics"][0]["gbits_per_s"], 200);
  EXPECT_EQ(document["numa_nodes"][0]["cpus"], "0-51,104-155");
  Machine no_nics = two_gpus();
  no_nics.nics.clear();
  EXPECT_TRUE(nlohmann::json::parse(topo_json(no_nics, {}))["gpus"][0]["nic"].is_null());
  no_nics.nics = {{"\xff\xfe", {}, 0}};
  EXPECT_TRUE(nlohmann::json::accept(topo_json(no_nics, {})));
}

TEST(TopoDrawing, SvgEscapesAndDrawsALineForEachChoice) {
  const std::string svg = topo_svg(two_gpus(), kMap);
  EXPECT_THAT(svg, HasSubstr("e&lt;th&amp;2"));
  EXPECT_THAT(svg, Not(HasSubstr("e<th")));
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = svg.find("<line ", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, 2u);
  EXPECT_THAT(topo_svg({}, {}), HasSubstr("</svg>"));
}

}  // namespace
}  // namespace sluice::tools
