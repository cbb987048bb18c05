#include "tests/emulator/launcher_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace sluice::emulator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<LauncherOptions> parse(std::vector<const char*> arguments) {
  return parse_options(arguments, Settings());
}

TEST(LauncherOptionsTest, WhatFollowsTheDashesIsTheCommand) {
  const auto options = parse({"--pool-pages", "7", "--seed=3", "--", "ls", "--help"});
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->settings.pool_pages, 7u);
  EXPECT_EQ(options->settings.seed, 3u);
  EXPECT_FALSE(options->help);
  EXPECT_THAT(options->command, ElementsAre("ls", "--help"));
}

TEST(LauncherOptionsTest, ErrorsNameTheOptionAndItsRange) {
  for (const char* value : {"0", "4097", "-1", "", "12x", "18446744073709551616"}) {
    const auto options = parse({"--fragment-bytes", value, "--", "ls"});
    ASSERT_FALSE(options.ok()) << value;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr("fragment-bytes"));
    EXPECT_THAT(std::string(options.status().message()), HasSubstr("1 to 4096"));
  }
  EXPECT_THAT(std::string(parse({"--device", "tpu", "--", "ls"}).status().message()),
              HasSubstr("auto, host or cuda"));
  EXPECT_THAT(std::string(parse({"--gpu", "64", "--", "ls"}).status().message()),
              HasSubstr("0 to 63"));
}

TEST(LauncherOptionsTest, UnknownUnfinishedAndEmptyLinesAreErrors) {
  EXPECT_THAT(std::string(parse({"--nonsense", "1", "--", "ls"}).status().message()),
              HasSubstr("--nonsense"));
  EXPECT_FALSE(parse({"-x", "--", "ls"}).ok());
  EXPECT_FALSE(parse({"--seed"}).ok());
  EXPECT_FALSE(parse({"--seed", "1"}).ok());
  EXPECT_FALSE(parse({}).ok());
  EXPECT_FALSE(parse({"--report=", "--", "ls"}).ok());
}

TEST(LauncherOptionsTest, HelpNamesEveryKnobAndItsVariable) {
  EXPECT_TRUE(parse({"--help"})->help);
  for (const SettingEntry& entry : setting_entries()) {
    EXPECT_THAT(help_text(), HasSubstr(std::string("--") + entry.option));
    EXPECT_THAT(help_text(), HasSubstr(entry.environment));
  }
}

TEST(LauncherOptionsTest, TheEnvironmentSetsKnobsAndIsChecked) {
  Settings settings;
  ::setenv("SLUICE_EMULATOR_POOL_PAGES", "12", 1);
  EXPECT_EQ(read_environment(settings), "");
  EXPECT_EQ(settings.pool_pages, 12u);
  ::setenv("SLUICE_EMULATOR_POOL_PAGES", "many", 1);
  EXPECT_THAT(read_environment(settings), HasSubstr("1 to 1048576"));
  ::unsetenv("SLUICE_EMULATOR_POOL_PAGES");
}

}  // namespace
}  // namespace sluice::emulator
