#include "src/base/cores.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace sluice {
namespace {

TEST(ParseCores, ReadsWhatTheKernelLists) {
  const auto cores = parse_cores("0-2,7,9-9");
  ASSERT_TRUE(cores.ok());
  EXPECT_EQ(CPU_COUNT(&*cores), 5);
  for (const unsigned core : {0u, 1u, 2u, 7u, 9u}) EXPECT_TRUE(CPU_ISSET(core, &*cores)) << core;
}

TEST(ParseCores, RefusesAnythingElse) {
  for (const char* list :
       {"", ",", "1,", "a", "3-1", "1-", "-1", "0-1024", "1 2", "99999999999999999999"}) {
    EXPECT_EQ(parse_cores(list).status().code(), StatusCode::kInvalidArgument) << list;
  }
  EXPECT_TRUE(parse_cores("1023").ok());
}

TEST(RunOnCores, PinsThisThreadAndThoseItStarts) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  unsigned core = 0;
  while (!CPU_ISSET(core, &before)) ++core;
  std::thread([core] {
    ASSERT_TRUE(run_on_cores(std::to_string(core)).ok());
    std::thread([core] {
      cpu_set_t now;
      ASSERT_EQ(sched_getaffinity(0, sizeof(now), &now), 0);
      EXPECT_EQ(CPU_COUNT(&now), 1);
      EXPECT_TRUE(CPU_ISSET(core, &now));
    }).join();
  }).join();
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after)) << "the thread that started it is left alone";
}

TEST(RunOnCores, NoListLeavesTheThreadWhereItIs) { EXPECT_TRUE(run_on_cores("").ok()); }

TEST(RunOnCores, SaysWhichCoresItMayNotUse) {
  // A core that no machine of this size has.
  const Status status = run_on_cores("1023");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("1023"), std::string_view::npos);
}

}  // namespace
}  // namespace sluice
