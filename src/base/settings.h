// What include/sluice/options.h leaves out: the settings of the `sluice perf` command and of the
// NCCL plugin, which share the table with those of the engine, and the helpers that read and
// explain values. The only place of the project that reads the environment.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/options.h"
#include "sluice/status.h"

namespace sluice {

// Settings of `sluice perf` that are not the engine's. On the command line without "perf_".
struct PerfOptions {
  std::string perf_size = "8,4K,64K,256K,1M,4M,16M,64M";  // One row of the table a size.
  std::uint64_t perf_iterations = 0;  // Messages measured a phase; 0: as many as perf_seconds take.
  std::uint64_t perf_warmup = 0;      // Messages before that, at least; 0: about a tenth of them.
  std::uint32_t perf_depth = 64;      // Messages outstanding in the bandwidth phase.
  std::uint32_t perf_phase_ms = 1000;  // How long a phase is measured.
  std::string perf_verify = "first";   // first, all, none
  std::uint16_t perf_port = 20000;     // Where the server listens.
};

// Settings of libnccl-net-sluice.so that are not the engine's. It has no command line.
struct NcclOptions {
  std::string nccl_device = "host";              // host, unpack
  std::uint64_t nccl_pool_bytes = 512ull << 20;  // Bounce pool of each GPU.
};

// What `channels` = 0 stands for on this machine: one a core keeps all busy; fewer than two would
// leave a core idle while the other waits.
[[nodiscard]] std::uint32_t default_channels();

// As settings(), set_option(), get_option(), options_from_environment() and validate().
[[nodiscard]] std::span<const Setting> perf_settings();
Status set_option(PerfOptions& options, std::string_view name, std::string_view value);
[[nodiscard]] std::string get_option(const PerfOptions& options, std::string_view name);
[[nodiscard]] Result<PerfOptions> perf_options_from_environment();
Status validate(const PerfOptions& options);
[[nodiscard]] std::span<const Setting> nccl_settings();
[[nodiscard]] std::string get_option(const NcclOptions& options, std::string_view name);
[[nodiscard]] Result<NcclOptions> nccl_options_from_environment();

// The environment name that decides a setting: its own before its alias; "" when neither is set.
[[nodiscard]] std::string_view environment_source(const Setting& setting);

// A line for every SLUICE_* name in the environment that is no setting: a typo, as a rule.
[[nodiscard]] std::vector<std::string> unknown_environment();

// "512K", "512 KiB", "524288": digits, then K, M, G or KiB, MiB, GiB (all powers of 1024) in any
// case. kInvalidArgument names what was read.
[[nodiscard]] Result<std::uint64_t> parse_number(std::string_view text);

// "4 KiB" where that is exact, else plain digits.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

// What a setting may be, for people: "0 to 64", "4 KiB to 64 MiB", "error, warning, info".
[[nodiscard]] std::string legal_values(const Setting& setting);

// The name with the fewest edits to `word`, or one that begins with it; "" when none is near: more
// than half of the word would have to change.
[[nodiscard]] std::string_view nearest_name(std::span<const std::string_view> names,
                                            std::string_view word);

}  // namespace sluice
