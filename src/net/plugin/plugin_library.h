// Finds a plugin, loads it, takes the newest table that it has, and initialises it.
#pragma once

#include <memory>
#include <string>

#include "src/net/plugin/plugin_table.h"

namespace sluice {

// A plugin that is ready to make connections. Its library stays loaded until the process ends:
// plugins have threads of their own, and up to v10 nothing that would end them.
struct LoadedPlugin {
  std::string file;  // The path that the loader found.
  std::unique_ptr<PluginTable> table;
  int devices = 0;  // At least 1.
  // NCCL_DYNAMIC_CHUNK_SIZE in force, if the plugin may be one that goes by it; else 0.
  std::uint64_t dynamic_chunk_bytes = 0;
};

// `which` is a path (with a slash), a name that the loader finds, or the NAME of
// libnccl-net-NAME.so. "" is the usual search: NCCL_NET_PLUGIN, else libnccl-net.so.
//
// Up to v10 a plugin is initialised once in a process, however often it is loaded. One that fails
// is an error, and is not tried again: nothing else is taken in its place.
// `chunk_bytes` goes into NCCL_DYNAMIC_CHUNK_SIZE where that is needed and not set.
//
// kNotFound: no such file, or no table in it, with what was tried; kInvalidArgument: a table
// without a function that it must have; kUnavailable: no device; else what init() or devices()
// said. Thread-safe. The caller has SIGPIPE blocked: plugins inherit that into their threads, and
// some write into broken sockets.
[[nodiscard]] Result<LoadedPlugin> load_plugin(const std::string& which, std::uint64_t chunk_bytes);

// What can be said of a plugin without initialising it: `which` is taken as above, and the library
// stays loaded.
struct PluginDescription {
  std::string file;
  int version = 0;   // Of its newest table.
  std::string name;  // What it calls itself.
};
[[nodiscard]] Result<PluginDescription> describe_plugin(const std::string& which);

// What a plugin's thread may still write to although nobody waits for it any more: it is kept until
// the process ends. Thread-safe.
void keep_for_plugin(std::shared_ptr<void> memory);

// What a failed call means to the user; with the last warning that the plugin gave. `when_broken`
// is what a broken socket is at this point: SystemError and RemoteError say that, everything else
// is kSystem.
[[nodiscard]] Status plugin_error(const PluginTable& table, std::string_view call,
                                  nccl_abi::ResultCode code,
                                  StatusCode when_broken = StatusCode::kSystem);

}  // namespace sluice
