#include "src/base/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <set>
#include <string>

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// An environment name for the length of a test.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~ScopedEnvironment() { ::unsetenv(name_); }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  const char* name_;
};

Status set(std::string_view name, std::string_view value) {
  Options options;
  return set_option(options, name, value);
}

TEST(Settings, TableIsWhole) {
  std::set<std::string> names;
  for (const auto table : {settings(), perf_settings()}) {
    for (const Setting& setting : table) {
      EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
      std::string environment = "SLUICE_" + std::string(setting.name);
      for (char& c : environment) c = static_cast<char>(std::toupper(c));
      EXPECT_EQ(setting.environment, environment);
      EXPECT_TRUE(setting.min <= setting.max) << setting.name;
      EXPECT_TRUE(std::string(setting.why).ends_with(".")) << setting.name;
    }
  }
  // Does not compile once Options gains or loses a field: then its table gains or loses a row too.
  const auto [f01, f02, f03, f04, f05, f06, f07, f08, f09, f10, f11, f12, f13, f14, f15, f16, f17,
              f18, f19, f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31, f32, f33, f34,
              f35, f36, f37, f38, f39] = Options{};
  EXPECT_EQ(settings().size(), 39u);
}

TEST(Settings, DefaultsAreLegalAndRoundTrip) {
  const Options options;
  EXPECT_TRUE(validate(options).ok()) << validate(options).message();
  EXPECT_TRUE(validate(PerfOptions{}).ok());
  for (const Setting& setting : settings()) {
    Options changed;
    const std::string value = get_option(options, setting.name);
    const Status status = set_option(changed, setting.name, value);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(get_option(changed, setting.name), value);
  }
}

TEST(Settings, EveryNumberKeepsItsRange) {
  for (const Setting& setting : settings()) {
    if (setting.max == 0) continue;
    Options options;
    EXPECT_TRUE(set_option(options, setting.name, std::to_string(setting.max)).ok());
    EXPECT_EQ(get_option(options, setting.name), std::to_string(setting.max));
    EXPECT_TRUE(set_option(options, setting.name, std::to_string(setting.min)).ok());
    EXPECT_EQ(get_option(options, setting.name), std::to_string(setting.min));
    for (const std::string& bad : {std::to_string(setting.max + 1), std::string("-1"),
                                   std::string("18446744073709551616"), std::string("")}) {
      const Status status = set_option(options, setting.name, bad);
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << setting.name << " " << bad;
      EXPECT_THAT(std::string(status.message()), StartsWith(setting.name));
      EXPECT_THAT(std::string(status.message()), HasSubstr("legal are " + legal_values(setting)));
      EXPECT_EQ(get_option(options, setting.name), std::to_string(setting.min));
    }
  }
}

TEST(Settings, MessagesNameTheRange) {
  EXPECT_EQ(set("channels", "99").message(), "channels: 99 is out of range, legal are 0 to 64");
  EXPECT_EQ(set("chunk_bytes", "1").message(),
            "chunk_bytes: 1 is out of range, legal are 4 KiB to 64 MiB");
  EXPECT_EQ(set("peer_timeout_ms", "9").message(),
            "peer_timeout_ms: 9 ms is out of range, legal are 10 to 3600000 ms");
  EXPECT_EQ(set("channels", "two").message(),
            "channels: \"two\" is not a number, legal are 0 to 64");
  EXPECT_EQ(set("log_level", "loud").message(),
            "log_level: \"loud\" is not legal, legal are error, warning, info, debug, trace");
}

TEST(Settings, ChoicesMatchWholeWords) {
  EXPECT_TRUE(set("log_level", "trace").ok());
  for (const char* bad : {"", "|", "err", "error|warning", "Error", "trace|"}) {
    EXPECT_EQ(set("log_level", bad).code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(Settings, UnknownNameSuggestsTheNearest) {
  const Status status = set("chanels", "2");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "chanels is not a setting, the nearest is channels");
  EXPECT_EQ(get_option(Options{}, "chanels"), "");
}

TEST(Settings, DashesAreUnderscores) {
  Options options;
  EXPECT_TRUE(set_option(options, "chunk-bytes", "1M").ok());
  EXPECT_EQ(options.chunk_bytes, 1u << 20);
  EXPECT_EQ(get_option(options, "chunk-bytes"), "1048576");
}

TEST(Settings, TextsAreBounded) {
  EXPECT_TRUE(set("name", std::string(255, 'x')).ok());
  EXPECT_EQ(set("name", std::string(256, 'x')).message(),
            "name: 256 bytes are too long, legal are 0 to 255");
  EXPECT_EQ(set("token", std::string_view("a\0b", 3)).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(set("token", "two\nlines").code(), StatusCode::kInvalidArgument);
  // A secret that is refused is not repeated.
  EXPECT_EQ(std::string(set("token", "two\nlines").message()).find("two"), std::string::npos);
}

TEST(Settings, ValidateFindsWhatWasSetByHand) {
  Options options;
  options.window = 65;
  EXPECT_EQ(validate(options).message(), "window: 65 is out of range, legal are 1 to 64");
  options = {};
  options.net = "pigeon";
  EXPECT_EQ(validate(options).message(),
            "net: \"pigeon\" is not legal, legal are tcp, plugin, plugin:*");
  for (const char* legal : {"tcp", "plugin", "plugin:x", "plugin:/a/b.so"}) {
    options.net = legal;
    EXPECT_TRUE(validate(options).ok()) << legal;
  }
  for (const char* illegal : {"plugin:", "tcpx", "*"}) {
    options.net = illegal;
    EXPECT_FALSE(validate(options).ok()) << illegal;
  }
  options = {};
  options.congestion_control = "";
  EXPECT_EQ(validate(options).code(), StatusCode::kInvalidArgument);
  options = {};
  options.allow_anyone = 1;
  EXPECT_TRUE(validate(options).ok());
  options.token = "secret";
  EXPECT_EQ(validate(options).code(), StatusCode::kInvalidArgument);
}

TEST(Settings, EnvironmentOverridesDefaults) {
  const ScopedEnvironment window("SLUICE_WINDOW", "8");
  const ScopedEnvironment chunk("SLUICE_CHUNK_BYTES", "256KiB");
  const ScopedEnvironment token("SLUICE_TOKEN", "");
  Result<Options> options = options_from_environment();
  ASSERT_TRUE(options.ok()) << options.status().message();
  EXPECT_EQ(options->window, 8u);
  EXPECT_EQ(options->chunk_bytes, 256u << 10);
  EXPECT_EQ(options->token, "");
  EXPECT_EQ(options->channels, Options{}.channels);
}

TEST(Settings, AliasesOfTheOriginAreAccepted) {
  const ScopedEnvironment channels("UCCL_TCPX_NUM_CHANNELS", "4");
  const ScopedEnvironment chunk("UCCL_TCPX_CHUNK_BYTES", "524288");
  const ScopedEnvironment size("UCCL_TCPX_PERF_SIZE", "67108864");
  const ScopedEnvironment iterations("UCCL_TCPX_PERF_ITERS", "20");
  {
    Result<Options> options = options_from_environment();
    ASSERT_TRUE(options.ok()) << options.status().message();
    EXPECT_EQ(options->channels, 4u);
    EXPECT_EQ(options->chunk_bytes, 524288u);
    Result<PerfOptions> perf = perf_options_from_environment();
    ASSERT_TRUE(perf.ok()) << perf.status().message();
    EXPECT_EQ(perf->perf_size, "67108864");
    EXPECT_EQ(perf->perf_iterations, 20u);
  }
  // Our own name decides where both are set.
  const ScopedEnvironment own("SLUICE_CHANNELS", "2");
  Result<Options> options = options_from_environment();
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->channels, 2u);
}

TEST(Settings, MalformedEnvironmentIsAnError) {
  {
    const ScopedEnvironment channels("UCCL_TCPX_NUM_CHANNELS", "many");
    const Result<Options> options = options_from_environment();
    ASSERT_FALSE(options.ok());
    EXPECT_EQ(options.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(options.status().message(),
              "environment UCCL_TCPX_NUM_CHANNELS: channels: \"many\" is not a number, legal are 0 "
              "to 64");
  }
  {
    const ScopedEnvironment channels("SLUICE_CHANNELS", "");
    EXPECT_FALSE(options_from_environment().ok());
  }
  {
    const ScopedEnvironment depth("SLUICE_PERF_DEPTH", "0");
    EXPECT_FALSE(perf_options_from_environment().ok());
  }
}

TEST(Settings, EnvironmentSourceIsTheNameThatDecides) {
  const auto source = [] {
    for (const Setting& setting : settings()) {
      if (std::string_view(setting.name) == "channels") return environment_source(setting);
    }
    return std::string_view("no such row");
  };
  EXPECT_EQ(source(), "");
  const ScopedEnvironment alias("UCCL_TCPX_NUM_CHANNELS", "4");
  EXPECT_EQ(source(), "UCCL_TCPX_NUM_CHANNELS");
  const ScopedEnvironment own("SLUICE_CHANNELS", "2");
  EXPECT_EQ(source(), "SLUICE_CHANNELS");
}

TEST(Settings, UnknownEnvironmentIsFound) {
  EXPECT_THAT(unknown_environment(), IsEmpty());
  const ScopedEnvironment known("SLUICE_PERF_SIZE", "8");
  const ScopedEnvironment of_tests("SLUICE_STANDIN_FAULT", "stall");
  EXPECT_THAT(unknown_environment(), IsEmpty());
  const ScopedEnvironment typo("SLUICE_CHANELS", "2");
  EXPECT_THAT(unknown_environment(),
              ElementsAre("environment SLUICE_CHANELS is not a setting, the nearest is "
                          "SLUICE_CHANNELS"));
  const ScopedEnvironment far("SLUICE_FOO", "2");
  EXPECT_THAT(unknown_environment(),
              Contains("environment SLUICE_FOO is not a setting: `sluice settings` lists them"));
}

TEST(ParseNumber, Suffixes) {
  const std::pair<const char*, std::uint64_t> cases[] = {
      {"0", 0},           {"17", 17},
      {"1K", 1024},       {"512KiB", 524288},
      {"512kib", 524288}, {"512 KiB", 524288},
      {"1M", 1048576},    {"2GiB", 2147483648},
      {"8g", 8589934592}, {"18446744073709551615", UINT64_MAX},
  };
  for (const auto& [text, value] : cases) {
    const Result<std::uint64_t> number = parse_number(text);
    ASSERT_TRUE(number.ok()) << text << ": " << number.status().message();
    EXPECT_EQ(*number, value) << text;
  }
}

TEST(ParseNumber, RefusesWhatIsNotOne) {
  for (const char* text :
       {"", " ", "K", "-1", "+1", "1.5M", "1KB", "1T", "0x10", "1  K", "1K ", "1 ", " 1", "1e3",
        "18446744073709551616", "18014398509481984K", "99999999999999999999"}) {
    EXPECT_FALSE(parse_number(text).ok()) << text;
  }
}

TEST(FormatBytes, ExactUnitsOnly) {
  EXPECT_EQ(format_bytes(0), "0");
  EXPECT_EQ(format_bytes(1023), "1023");
  EXPECT_EQ(format_bytes(1024), "1 KiB");
  EXPECT_EQ(format_bytes(1025), "1025");
  EXPECT_EQ(format_bytes(1536), "1536");
  EXPECT_EQ(format_bytes(786432), "768 KiB");
  EXPECT_EQ(format_bytes(8589934592), "8 GiB");
}

TEST(NearestName, FewestEdits) {
  const std::string_view names[] = {"channels", "chunk_bytes", "window"};
  EXPECT_EQ(nearest_name(names, "widow"), "window");
  EXPECT_EQ(nearest_name(names, "chunk"), "chunk_bytes");
  EXPECT_EQ(nearest_name(names, "w"), "window");
  EXPECT_EQ(nearest_name(names, ""), "");
  EXPECT_EQ(nearest_name(names, "foo"), "");
  EXPECT_EQ(nearest_name({}, "window"), "");
}

}  // namespace
}  // namespace sluice
