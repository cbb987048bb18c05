#include "src/base/check.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(CheckTest, ATrueConditionEvaluatesNoValues) {
  int conditions = 0, values = 0;
  SLUICE_CHECK(++conditions == 1, "value {}", ++values);
  EXPECT_EQ(conditions, 1);
  EXPECT_EQ(values, 0);
}

TEST(CheckDeathTest, AFalseOneTellsConditionValuesAndPlace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int a = 3, b = 2;
  EXPECT_DEATH(SLUICE_CHECK(a < b, "a {} b {}", a, b),
               "check failed: a < b \\(a 3 b 2\\) at .*check_test.cc:[0-9]+");
}

}  // namespace
}  // namespace sluice
