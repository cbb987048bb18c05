#include "tools/perf/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::perf {
namespace {

using ::testing::StartsWith;

TEST(Machine, IsDescribed) {
  const Machine machine = describe_machine();
  EXPECT_GE(machine.cores, 1u);
  EXPECT_GT(machine.memory_bytes, 64u << 20);
  EXPECT_THAT(machine.kernel, StartsWith("Linux "));
  EXPECT_FALSE(machine.congestion_control.empty());
}

TEST(Machine, AvailableMemoryIsPartOfAll) {
  EXPECT_GT(available_memory(), 0u);
  EXPECT_LT(available_memory(), describe_machine().memory_bytes);
}

}  // namespace
}  // namespace sluice::perf
