#include "src/base/settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>
#include <variant>

namespace sluice {
namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr std::uint64_t kHourMs = 3'600'000;
constexpr std::size_t kLongestText = 255;  // bytes
constexpr std::string_view kPrefix = "SLUICE_";

// A setting and the field of its Owner that holds it.
template <typename Owner>
struct Row {
  Setting setting;
  std::variant<std::string Owner::*, std::uint16_t Owner::*, std::uint32_t Owner::*,
               std::uint64_t Owner::*>
      field;
};

constexpr Row<Options> kRows[] = {
    {{"listen_host", "SLUICE_LISTEN_HOST", "", "", 0, 0, "",
      "Address or name of the interface to listen on, to keep others out; empty is all of them."},
     &Options::listen_host},
    {{"listen_port", "SLUICE_LISTEN_PORT", "", "", 0, 65535, "",
      "TCP port to listen on, for a firewall that lets only one through; 0 takes a free one."},
     &Options::listen_port},
    {{"advertise_host", "SLUICE_ADVERTISE_HOST", "", "", 0, 0, "",
      "Host that address() names, where peers reach this one by another name (NAT, several "
      "networks); empty is found by the engine."},
     &Options::advertise_host},
    {{"token", "SLUICE_TOKEN", "", "", 0, 0, "",
      "Secret that both ends prove to know before anything else; empty makes a random one, which "
      "address() carries."},
     &Options::token},
    {{"allow_anyone", "SLUICE_ALLOW_ANYONE", "", "", 0, 1, "",
      "1 asks nobody for a secret: whoever reaches the port may connect. Only where the network "
      "is trusted."},
     &Options::allow_anyone},
    {{"name", "SLUICE_NAME", "", "", 0, 0, "",
      "What this engine is called in the logs of its peers; empty is host:pid."},
     &Options::name},
    {{"net", "SLUICE_NET", "", "", 0, 0, "tcp|plugin|plugin:*",
      "The Net that moves the bytes: the built-in one, or a NCCL network plugin by path or name; "
      "plugin alone is the one that NCCL would take."},
     &Options::net},
    {{"device", "SLUICE_DEVICE", "", "", 0, 0, "",
      "The Device of the Net by name, where a plugin drives several NICs and this engine is to use "
      "one that is not the first; empty is the first, NAME? that of the name or else the only "
      "one."},
     &Options::device},
    {{"channels", "SLUICE_CHANNELS", "UCCL_TCPX_NUM_CHANNELS", "", 0, 64, "",
      "Channels per peer and direction: more use more cores and, on a fast NIC, more of its "
      "queues; "
      "0 is one a core, at least 2 and at most 8."},
     &Options::channels},
    {{"chunk_bytes", "SLUICE_CHUNK_BYTES", "UCCL_TCPX_CHUNK_BYTES", "bytes", 4 * kKiB, 64 * kMiB,
      "",
      "Largest chunk: larger ones cost less per byte, smaller ones spread a message over more "
      "channels; throughput is flat from 512 KiB up, but with more than 8 channels of GPU memory, "
      "which 1 MiB makes faster."},
     &Options::chunk_bytes},
    {{"window", "SLUICE_WINDOW", "", "", 1, 64, "",
      "Chunks in flight on a channel at most; a NCCL network plugin takes no more than 16."},
     &Options::window},
    {{"small_bytes", "SLUICE_SMALL_BYTES", "", "bytes", 0, 64 * kKiB, "",
      "A message up to this long rides in the control frame, which saves the channel's latency and "
      "costs a copy."},
     &Options::small_bytes},
    {{"checksum", "SLUICE_CHECKSUM", "", "", 0, 1, "",
      "1 checks all that is moved to and from this end by CRC32C: chunks from memory to memory, "
      "frames as they are sent and read. A one-sided transfer that differs ends with an error, a "
      "message or a frame ends the connection at both ends. In force if either end asks for it."},
     &Options::checksum},
    {{"congestion_control", "SLUICE_CONGESTION_CONTROL", "", "", 0, 0, "",
      "auto takes reno on paths where BBR would pace too slowly, system leaves the machine's "
      "default alone, another word is a name the kernel knows."},
     &Options::congestion_control},
    {{"receive_buffer_bytes", "SLUICE_RECEIVE_BUFFER_BYTES", "", "bytes", 0, kGiB, "",
      "Receive buffer of a data socket; 0 is 768 KiB on short paths, where data then stays in the "
      "cache, and the kernel's automatic size on long ones."},
     &Options::receive_buffer_bytes},
    {{"send_by_reference", "SLUICE_SEND_BY_REFERENCE", "", "", 0, 1, "",
      "1 sends long chunks without copying them, faster by a fifth on one host; the memory of a "
      "send that has failed must then be left alone until the peer is lost at both ends."},
     &Options::send_by_reference},
    {{"gpu", "SLUICE_GPU", "", "", 0, 0, "",
      "The GPU whose memory this engine moves, as CUDA counts; none is no GPU at all."},
     &Options::gpu},
    {{"gpu_sms", "SLUICE_GPU_SMS", "", "", 1, 1024, "",
      "SMs that packing, unpacking and checksums may take at a time, each of them: more are faster "
      "for small pieces in GPU memory, and taken from what else the GPU does."},
     &Options::gpu_sms},
    {{"gpu_unpack", "SLUICE_GPU_UNPACK", "", "", 0, 0, "auto|kernel|copy",
      "Who moves arrived bytes into GPU memory: the kernel on gpu_sms SMs, the copy engine, or, as "
      "auto, the copy engine for pieces from 512 KiB on and for a smaller one that is all there is "
      "to do, and the kernel for the others."},
     &Options::gpu_unpack},
    {{"gpu_pack", "SLUICE_GPU_PACK", "", "", 0, 0, "auto|kernel|copy",
      "Who moves bytes to send out of GPU memory; the words are those of gpu_unpack."},
     &Options::gpu_pack},
    {{"gpu_linger_us", "SLUICE_GPU_LINGER_US", "", "microseconds", 0, 1000, "",
      "How long a kernel that packs or unpacks stays on its SMs, at most 8 of gpu_sms, when it has "
      "nothing to do: what comes within that time of what came before needs no launch and is there "
      "sooner, but what else computes on the GPU lacks these SMs. From sm_90 on."},
     &Options::gpu_linger_us},
    {{"gpu_staging_bytes", "SLUICE_GPU_STAGING_BYTES", "", "bytes", 64 * kKiB, kGiB, "",
      "Pinned memory of each channel that carries GPU memory over a Net that does not take it; two "
      "chunks at least."},
     &Options::gpu_staging_bytes},
    {{"max_peers", "SLUICE_MAX_PEERS", "", "", 1, 65536, "",
      "Peers at a time; more are refused. Memory is set aside for each that is connected."},
     &Options::max_peers},
    {{"max_transfers", "SLUICE_MAX_TRANSFERS", "", "", 1, 1048576, "",
      "Transfers in flight per engine, of every kind together; a call beyond it is told "
      "kWouldBlock."},
     &Options::max_transfers},
    {{"max_regions", "SLUICE_MAX_REGIONS", "", "", 1, 1048576, "",
      "Memory regions registered at a time."},
     &Options::max_regions},
    {{"max_remote_regions", "SLUICE_MAX_REMOTE_REGIONS", "", "", 1, 1048576, "",
      "Regions of peers imported at a time."},
     &Options::max_remote_regions},
    {{"request_bytes", "SLUICE_REQUEST_BYTES", "", "bytes", 2 * kMiB, kGiB, "",
      "Memory for what one peer asks of this end at a time: the block lists of its reads and "
      "writes "
      "and its notifications; what does not fit waits at the peer."},
     &Options::request_bytes},
    {{"kept_list_bytes", "SLUICE_KEPT_LIST_BYTES", "", "bytes", 0, 16 * kMiB, "",
      "Block lists that a peer names again and again are kept, 16 of each peer, none longer than "
      "this; 0 keeps none."},
     &Options::kept_list_bytes},
    {{"max_handshakes", "SLUICE_MAX_HANDSHAKES", "", "", 1, 65536, "",
      "Connections at a time that have not yet proved who they are; more are closed at once."},
     &Options::max_handshakes},
    {{"channel_rebuilds", "SLUICE_CHANNEL_REBUILDS", "", "", 0, 1'000'000, "",
      "How often the channels that lead one way between two peers may die and be made anew before "
      "the peer counts as lost; a minute without starts the count again. 0 is never."},
     &Options::channel_rebuilds},
    {{"connect_timeout_ms", "SLUICE_CONNECT_TIMEOUT_MS", "", "ms", 10, kHourMs, "",
      "How long a connection, and each of its channels, may take to come about."},
     &Options::connect_timeout_ms},
    {{"handshake_timeout_ms", "SLUICE_HANDSHAKE_TIMEOUT_MS", "", "ms", 10, kHourMs, "",
      "How long an incoming connection may take to say who it is."},
     &Options::handshake_timeout_ms},
    {{"peer_timeout_ms", "SLUICE_PEER_TIMEOUT_MS", "", "ms", 10, kHourMs, "",
      "Silence after which a peer counts as lost; longer where hosts stall or links flap."},
     &Options::peer_timeout_ms},
    {{"spin_us", "SLUICE_SPIN_US", "", "us", 0, 1'000'000, "",
      "How long wait() polls before it sleeps: waking a sleeping core costs about 60 us, polling "
      "costs that core."},
     &Options::spin_us},
    {{"cadence", "SLUICE_CADENCE", "", "", 0, 0, "adapt|spin|yield|sleep",
      "How wait() waits: adapt polls for spin_us and then sleeps; spin and yield never sleep, and "
      "keep the core or offer it to others at every turn; sleep sleeps at once."},
     &Options::cadence},
    {{"recorder_events", "SLUICE_RECORDER_EVENTS", "", "", 0, 1 << 22, "",
      "The last so many events of an engine are kept for `sluice report`, 32 bytes each; 0 is "
      "none."},
     &Options::recorder_events},
    {{"recorder_dir", "SLUICE_RECORDER_DIR", "", "", 0, 0, "",
      "Folder in which an engine leaves a recording when it stalls, loses a peer, is asked for its "
      "report or closes; empty is nowhere."},
     &Options::recorder_dir},
    {{"stall_report_ms", "SLUICE_STALL_REPORT_MS", "", "ms", 0, kHourMs, "",
      "After so long without a chunk moving although some are in flight, the log says how every "
      "channel stands and what that most likely means; 0 is never."},
     &Options::stall_report_ms},
    {{"log_level", "SLUICE_LOG_LEVEL", "", "", 0, 0, "error|warning|info|debug|trace",
      "What is logged on stderr; debug tells of every chunk."},
     &Options::log_level},
};

constexpr Row<PerfOptions> kPerfRows[] = {
    {{"perf_size", "SLUICE_PERF_SIZE", "UCCL_TCPX_PERF_SIZE", "", 0, 0, "",
      "Message sizes, separated by commas, each 0 to 8 GiB: one row of the table a size."},
     &PerfOptions::perf_size},
    {{"perf_iterations", "SLUICE_PERF_ITERATIONS", "UCCL_TCPX_PERF_ITERS", "", 0, 1'000'000'000, "",
      "Messages measured per size and phase; 0 is as many as perf_phase_ms take."},
     &PerfOptions::perf_iterations},
    {{"perf_warmup", "SLUICE_PERF_WARMUP", "", "", 0, 1'000'000'000, "",
      "Messages per size and phase before the measured ones, at least; 0 is as many as a tenth of "
      "perf_phase_ms takes."},
     &PerfOptions::perf_warmup},
    {{"perf_depth", "SLUICE_PERF_DEPTH", "", "", 1, 256, "",
      "Messages outstanding in the bandwidth phase, where memory allows: large ones fewer."},
     &PerfOptions::perf_depth},
    {{"perf_phase_ms", "SLUICE_PERF_PHASE_MS", "", "ms", 10, kHourMs, "",
      "How long a phase is measured when perf_iterations is 0."},
     &PerfOptions::perf_phase_ms},
    {{"perf_verify", "SLUICE_PERF_VERIFY", "", "", 0, 0, "first|all|none",
      "Which messages have their content checked: the first of each size and phase, all (which "
      "costs bandwidth), or none."},
     &PerfOptions::perf_verify},
    {{"perf_port", "SLUICE_PERF_PORT", "", "", 1, 65535, "",
      "TCP port at which `sluice perf server` listens and `sluice perf client` connects."},
     &PerfOptions::perf_port},
};

constexpr Row<NcclOptions> kNcclRows[] = {
    {{"nccl_device", "SLUICE_NCCL_DEVICE", "", "", 0, 0, "host|unpack",
      "Who puts what arrives into GPU memory: host leaves the copies to NCCL, as its sockets do; "
      "unpack has NCCL's kernels unpack a bounce pool, and asks for variables of NCCL's."},
     &NcclOptions::nccl_device},
    {{"nccl_pool_bytes", "SLUICE_NCCL_POOL_BYTES", "", "bytes", 16 * kMiB, 4 * kGiB, "",
      "Pinned memory of each GPU in UNPACK mode; a connection takes 8.5 MiB of it, at each end."},
     &NcclOptions::nccl_pool_bytes},
};

template <typename Owner, std::size_t kCount>
constexpr std::array<Setting, kCount> settings_of(const Row<Owner> (&rows)[kCount]) {
  std::array<Setting, kCount> result{};
  for (std::size_t i = 0; i < kCount; ++i) result[i] = rows[i].setting;
  return result;
}
constexpr auto kSettings = settings_of(kRows);
constexpr auto kPerfSettings = settings_of(kPerfRows);
constexpr auto kNcclSettings = settings_of(kNcclRows);

std::span<const Row<Options>> rows_of(const Options&) { return kRows; }
std::span<const Row<PerfOptions>> rows_of(const PerfOptions&) { return kPerfRows; }
std::span<const Row<NcclOptions>> rows_of(const NcclOptions&) { return kNcclRows; }

// Both spellings of a name mean the same: "chunk-bytes" is how the command line writes it.
std::string with_underscores(std::string_view name) {
  std::string result(name);
  std::replace(result.begin(), result.end(), '-', '_');
  return result;
}

template <typename Owner>
const Row<Owner>* find_row(const Owner& options, std::string_view name) {
  const std::string wanted = with_underscores(name);
  for (const Row<Owner>& row : rows_of(options)) {
    if (wanted == row.setting.name) return &row;
  }
  return nullptr;
}

std::string not_a_setting(std::string_view name, std::string_view nearest) {
  if (nearest.empty())
    return fmt::format("{} is not a setting: `sluice settings` lists them", name);
  return fmt::format("{} is not a setting, the nearest is {}", name, nearest);
}

std::string unit_of(const Setting& setting) {
  const std::string_view unit = setting.unit;
  return unit.empty() || unit == "bytes" ? "" : fmt::format(" {}", unit);
}

Status check_number(const Setting& setting, std::uint64_t value) {
  if (value >= setting.min && value <= setting.max) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("{}: {}{} is out of range, legal are {}", setting.name, value,
                      unit_of(setting), legal_values(setting))};
}

bool is_choice(std::string_view choices, std::string_view value) {
  while (!choices.empty()) {
    const std::size_t end = std::min(choices.find('|'), choices.size());
    const std::string_view choice = choices.substr(0, end);
    if (choice == value) return true;
    // "plugin:*" is every text that begins so and goes on.
    if (choice.ends_with('*') && value.starts_with(choice.substr(0, choice.size() - 1)) &&
        value.size() >= choice.size()) {
      return true;
    }
    choices.remove_prefix(std::min(end + 1, choices.size()));
  }
  return false;
}

Status check_text(const Setting& setting, std::string_view value) {
  const auto refuse = [&](std::string_view why) {
    return Status(StatusCode::kInvalidArgument, fmt::format("{}: {}", setting.name, why));
  };
  // The value itself is not repeated where it may be long, unprintable or secret.
  if (value.size() > kLongestText) {
    return refuse(
        fmt::format("{} bytes are too long, legal are 0 to {}", value.size(), kLongestText));
  }
  const auto control = [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; };
  if (std::any_of(value.begin(), value.end(), control)) {
    return refuse("control characters are not legal");
  }
  if (setting.choices[0] != '\0' && !is_choice(setting.choices, value)) {
    return refuse(fmt::format("\"{}\" is not legal, legal are {}", value, legal_values(setting)));
  }
  return {};
}

template <typename Owner>
Status set_row(Owner& options, const Row<Owner>& row, std::string_view text) {
  const Setting& setting = row.setting;
  if (const auto* field = std::get_if<std::string Owner::*>(&row.field)) {
    Status status = check_text(setting, text);
    if (status.ok()) options.*(*field) = std::string(text);
    return status;
  }
  Result<std::uint64_t> number = parse_number(text);
  if (!number.ok()) {
    return {StatusCode::kInvalidArgument,
            fmt::format("{}: {}, legal are {}", setting.name, number.status().message(),
                        legal_values(setting))};
  }
  Status status = check_number(setting, *number);
  if (!status.ok()) return status;
  std::visit(
      [&](auto field) {
        using Value = std::remove_reference_t<decltype(options.*field)>;
        if constexpr (!std::is_same_v<Value, std::string>) {
          options.*field = static_cast<Value>(*number);
        }
      },
      row.field);
  return {};
}

template <typename Owner>
Status set_by_name(Owner& options, std::string_view name, std::string_view value) {
  if (const Row<Owner>* row = find_row(options, name)) return set_row(options, *row, value);
  std::vector<std::string_view> names;
  for (const Row<Owner>& row : rows_of(options)) names.emplace_back(row.setting.name);
  return {StatusCode::kNotFound, not_a_setting(name, nearest_name(names, with_underscores(name)))};
}

template <typename Owner>
std::string get_row(const Owner& options, const Row<Owner>& row) {
  return std::visit([&](auto field) { return fmt::format("{}", options.*field); }, row.field);
}

template <typename Owner>
Result<Owner> from_environment() {
  Owner options;
  for (const Row<Owner>& row : rows_of(options)) {
    const std::string_view source = environment_source(row.setting);
    if (source.empty()) continue;
    const Status status = set_row(options, row, ::getenv(source.data()));
    if (!status.ok()) return status.with_context(fmt::format("environment {}", source));
  }
  return options;
}

template <typename Owner>
Status check_rows(const Owner& options) {
  for (const Row<Owner>& row : rows_of(options)) {
    Status status = std::visit(
        [&](auto field) {
          using Value = std::remove_cvref_t<decltype(options.*field)>;
          if constexpr (std::is_same_v<Value, std::string>) {
            return check_text(row.setting, options.*field);
          } else {
            return check_number(row.setting, options.*field);
          }
        },
        row.field);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }
std::span<const Setting> perf_settings() { return kPerfSettings; }
std::span<const Setting> nccl_settings() { return kNcclSettings; }

std::uint32_t default_channels() {
  return static_cast<std::uint32_t>(std::clamp(::sysconf(_SC_NPROCESSORS_ONLN), 2L, 8L));
}

Status set_option(Options& options, std::string_view name, std::string_view value) {
  return set_by_name(options, name, value);
}
Status set_option(PerfOptions& options, std::string_view name, std::string_view value) {
  return set_by_name(options, name, value);
}

std::string get_option(const Options& options, std::string_view name) {
  const Row<Options>* row = find_row(options, name);
  return row == nullptr ? "" : get_row(options, *row);
}
std::string get_option(const PerfOptions& options, std::string_view name) {
  const Row<PerfOptions>* row = find_row(options, name);
  return row == nullptr ? "" : get_row(options, *row);
}

std::string get_option(const NcclOptions& options, std::string_view name) {
  const Row<NcclOptions>* row = find_row(options, name);
  return row == nullptr ? "" : get_row(options, *row);
}

Result<Options> options_from_environment() { return from_environment<Options>(); }
Result<PerfOptions> perf_options_from_environment() { return from_environment<PerfOptions>(); }
Result<NcclOptions> nccl_options_from_environment() { return from_environment<NcclOptions>(); }

Status validate(const Options& options) {
  if (Status status = check_rows(options); !status.ok()) return status;
  if (options.congestion_control.empty()) {
    return {StatusCode::kInvalidArgument,
            "congestion_control: empty, legal are auto, system, or a name the kernel knows"};
  }
  if (options.allow_anyone != 0 && !options.token.empty()) {
    return {StatusCode::kInvalidArgument,
            "allow_anyone: 1 contradicts token, which is set: one of them must go"};
  }
  return {};
}
Status validate(const PerfOptions& options) { return check_rows(options); }

std::string_view environment_source(const Setting& setting) {
  for (const char* name : {setting.environment, setting.alias}) {
    if (name[0] != '\0' && ::getenv(name) != nullptr) return name;
  }
  return {};
}

std::vector<std::string> unknown_environment() {
  std::vector<std::string_view> known;
  const auto add = [&](std::span<const Setting> table) {
    for (const Setting& setting : table) {
      known.push_back(std::string_view(setting.environment).substr(kPrefix.size()));
    }
  };
  add(kSettings);
  add(kPerfSettings);
  add(kNcclSettings);
  std::vector<std::string> lines;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (!name.starts_with(kPrefix)) continue;
    const bool of_tests = name.starts_with("SLUICE_STANDIN_") ||
                          name.starts_with("SLUICE_EMULATOR_") || name == "SLUICE_TCPX_PLUGIN";
    if (of_tests) continue;  // The knobs of tests/tcpx_standin and tests/emulator.
    const std::string_view rest = name.substr(kPrefix.size());
    if (std::find(known.begin(), known.end(), rest) != known.end()) continue;
    // What all of them begin with makes none near.
    const std::string_view nearest = nearest_name(known, rest);
    lines.push_back(
        "environment " +
        not_a_setting(name, nearest.empty() ? "" : fmt::format("{}{}", kPrefix, nearest)));
  }
  return lines;
}

std::string legal_values(const Setting& setting) {
  const std::string_view choices = setting.choices;
  if (!choices.empty()) {
    std::string list;
    for (const char c : choices) list += c == '|' ? std::string(", ") : std::string(1, c);
    return list;
  }
  if (setting.min == 0 && setting.max == 0) {
    return fmt::format("any text up to {} bytes", kLongestText);
  }
  if (std::strcmp(setting.unit, "bytes") == 0) {
    return fmt::format("{} to {}", format_bytes(setting.min), format_bytes(setting.max));
  }
  return fmt::format("{} to {}{}", setting.min, setting.max, unit_of(setting));
}

}  // namespace sluice
