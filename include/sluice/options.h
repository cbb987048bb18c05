// Every setting of an engine, with its default. The table behind them (name, environment name,
// range, the reason for the default) is settings(); docs/configuration.md is printed from it, and
// `sluice settings` shows it with the values in force.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sluice/status.h"

namespace sluice {

struct Options {
  // Who may connect and where.
  std::string listen_host;         // Address or interface name to listen on; "" is all.
  std::uint16_t listen_port = 0;   // 0 takes a free one.
  std::string advertise_host;      // Host named in address(); "" is found by the engine.
  std::string token;               // Shared secret. "" makes a random one, told by address().
  std::uint32_t allow_anyone = 0;  // 1: no secret at all; whoever reaches the port may connect.
  std::string name;                // This engine in the peer's logs; "" is host:pid.

  // Moving bytes.
  std::string net = "tcp";                // Which Net: tcp, plugin, plugin:PATH, plugin:NAME.
  std::string device;                     // Device of the Net by name; "" is its first.
  std::uint32_t channels = 0;             // Channels per peer and direction; 0: one a core, 2 to 8.
  std::uint64_t chunk_bytes = 512 << 10;  // Largest chunk.
  std::uint32_t window = 16;              // Chunks in flight on a channel.
  std::uint64_t small_bytes = 16 << 10;   // Up to this, a message rides in the control frame.

  std::uint32_t checksum = 0;  // 1: what is moved is checked end to end.

  // The tcp Net.
  std::string congestion_control = "auto";  // auto, system, or a name the kernel knows.
  std::uint64_t receive_buffer_bytes = 0;   // Per data socket; 0: 768 KiB nearby, else automatic.
  std::uint32_t send_by_reference = 0;      // 1: long chunks are sent without copying them.

  // Memory of a GPU.
  std::string gpu = "none";         // Its number as CUDA counts; "none": host memory alone.
  std::uint32_t gpu_sms = 4;        // Most SMs of packs, of unpacks, of checksums.
  std::string gpu_unpack = "auto";  // auto, kernel, copy: who moves bytes into GPU memory.
  std::string gpu_pack = "auto";    // auto, kernel, copy: who moves them out of it.
  std::uint32_t gpu_linger_us = 0;  // Microseconds that a kernel stays on its SMs for more.
  std::uint64_t gpu_staging_bytes = 4 << 20;  // Pinned memory of a channel that needs it.

  // Limits.
  std::uint32_t max_peers = 256;
  std::uint32_t max_transfers = 1024;  // In flight per engine, of every kind together.
  std::uint32_t max_regions = 1024;
  std::uint32_t max_remote_regions = 4096;
  std::uint64_t request_bytes = 8 << 20;     // Of one peer: descriptors and notifications.
  std::uint64_t kept_list_bytes = 64 << 10;  // Longest of 16 block lists kept for each peer.
  std::uint32_t max_handshakes = 64;         // Connections that have not yet proved who they are.
  std::uint32_t channel_rebuilds = 3;        // Of one direction of a peer, a minute apart or less.

  // Waiting. All in milliseconds but spin_us (microseconds).
  std::uint32_t connect_timeout_ms = 30000;   // From connect() to connected, and for channels.
  std::uint32_t handshake_timeout_ms = 5000;  // A connection that does not say who it is.
  std::uint32_t peer_timeout_ms = 10000;      // Silence after which a peer counts as lost.
  std::uint32_t spin_us = 100;                // How long wait() polls before it sleeps.
  std::string cadence = "adapt";              // adapt, spin, yield, sleep: how wait() waits.

  // Telling what went on.
  std::uint32_t recorder_events = 16384;  // Last events that are kept; 0: none. 32 bytes each.
  std::string recorder_dir;               // Where recordings are kept; "": only when asked for.
  std::uint32_t stall_report_ms = 5000;   // Nothing moved for so long: said in the log. 0: never.
  std::string log_level = "warning";      // error, warning, info, debug, trace
};

// One row of the table of settings.
struct Setting {
  const char* name;         // As in Options, in `--name` with dashes, and in docs.
  const char* environment;  // SLUICE_...
  const char* alias;        // Environment name of the project's origin that is accepted too, or "".
  const char* unit;         // "bytes", "ms", "us" or ""
  std::uint64_t min;        // Legal range of a number; both 0 for a text.
  std::uint64_t max;
  const char* choices;  // Legal words of a text, separated by "|", * at the end of one for
                        // whatever follows; "" is any text.
  const char* why;      // One sentence: what it does and when to touch it.
};

// The whole table, in the order of Options. Static storage, thread-safe.
[[nodiscard]] std::span<const Setting> settings();

// Sets one by name. Numbers take the suffixes KiB, MiB, GiB, K, M, G. kInvalidArgument names the
// legal range; kNotFound names the nearest known setting.
Status set_option(Options& options, std::string_view name, std::string_view value);

// The value of one by name, as set_option() would take it. "" for an unknown name.
[[nodiscard]] std::string get_option(const Options& options, std::string_view name);

// Defaults, overridden by SLUICE_* and the aliases. A malformed value is an error, never skipped.
[[nodiscard]] Result<Options> options_from_environment();

// Checks every field against the table: what Engine::create does first.
Status validate(const Options& options);

}  // namespace sluice
