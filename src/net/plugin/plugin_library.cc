#include "src/net/plugin/plugin_library.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "src/base/dl.h"
#include "src/base/log.h"
#include "src/net/plugin/plugin_environment.h"
#include "src/net/plugin/plugin_log.h"

namespace sluice {
namespace {

using nccl_abi::ResultCode;

// What must be known of plugins once in a process, because their tables are global too.
class ProcessPlugins {
 public:
  // init() of `table`, at most once for the object at `address` if it is v10 or older.
  Status init(PluginTable& table, const void* address) {
    const std::lock_guard lock(mutex_);
    for (const Initialised& known : initialised_) {
      if (known.address == address) return known.status;
    }
    const ResultCode code = table.init(plugin_logger);
    Status status;
    if (code != ResultCode::kSuccess) status = plugin_error(table, "init", code);
    if (table.version() <= 10) initialised_.push_back({address, status});
    return status;
  }
  void keep(std::shared_ptr<void> memory) {
    const std::lock_guard lock(mutex_);
    kept_.push_back(std::move(memory));
  }

 private:
  struct Initialised {
    const void* address;
    Status status;
  };
  std::mutex mutex_;
  std::vector<Initialised> initialised_;
  std::vector<std::shared_ptr<void>> kept_;
};

// Never destroyed: plugins' threads run until the very end.
ProcessPlugins& process_plugins() {
  static auto* const plugins = new ProcessPlugins;
  return *plugins;
}

Result<DynamicLibrary> open_library(const std::string& which) {
  if (which.empty()) {
    Result<std::string> named = plugin_of_environment();
    if (!named.ok()) return named.status();
    return named->empty() ? DynamicLibrary::open("libnccl-net.so") : open_library(*named);
  }
  auto library = DynamicLibrary::open(which);
  const bool is_file =
      which.find('/') != std::string::npos || (which.starts_with("lib") && which.ends_with(".so"));
  if (library.ok() || is_file) return library;
  auto by_short_name = DynamicLibrary::open(fmt::format("libnccl-net-{}.so", which));
  if (by_short_name.ok()) return by_short_name;
  return Status(StatusCode::kNotFound, fmt::format("{}; {}", library.status().message(),
                                                   by_short_name.status().message()));
}

struct FoundTable {
  int version = 0;
  const void* address = nullptr;
};

FoundTable newest_table(const DynamicLibrary& library) {
  for (int version = kNewestPluginVersion; version >= kOldestPluginVersion; --version) {
    const void* address = library.symbol(plugin_symbol(version));
    if (address != nullptr) return {version, address};
  }
  return {};
}

Result<int> count_devices(PluginTable& table) {
  int devices = 0;
  const ResultCode code = table.devices(&devices);
  if (code != ResultCode::kSuccess) return plugin_error(table, "devices", code);
  if (devices < 1) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("plugin {} finds no device to work with", table.name()));
  }
  return devices;
}

// A plugin whose table is at hand, and that is not initialised.
struct Opened {
  DynamicLibrary library;
  const void* address = nullptr;
  PluginDescription description;
  std::unique_ptr<PluginTable> table;
};

Result<Opened> open_table(const std::string& which) {
  auto library = open_library(which);
  if (!library.ok()) return library.status().with_context("network plugin");
  const FoundTable found = newest_table(*library);
  if (found.address == nullptr) {
    return Status(StatusCode::kNotFound, fmt::format("network plugin {}: it has none of {} to {}",
                                                     which, plugin_symbol(kNewestPluginVersion),
                                                     plugin_symbol(kOldestPluginVersion)));
  }
  const std::string file = file_of_symbol(found.address);
  auto table = adapt_plugin_table(found.version, found.address);
  if (!table.ok()) return table.status().with_context(file);
  PluginDescription description{file, found.version, std::string((*table)->name())};
  return Opened{library.take(), found.address, std::move(description), table.take()};
}

}  // namespace

Result<PluginDescription> describe_plugin(const std::string& which) {
  auto opened = open_table(which);
  if (!opened.ok()) return opened.status();
  opened->library.keep_loaded();
  return std::move(opened->description);
}

Result<LoadedPlugin> load_plugin(const std::string& which, std::uint64_t chunk_bytes) {
  auto opened = open_table(which);
  if (!opened.ok()) return opened.status();
  LoadedPlugin loaded;
  loaded.file = opened->description.file;
  loaded.table = std::move(opened->table);
  if (loaded.table->wants_consumed()) {
    const Result<std::uint64_t> bytes = require_dynamic_chunk_bytes(chunk_bytes);
    if (!bytes.ok()) return bytes.status();
    loaded.dynamic_chunk_bytes = *bytes;
  }
  opened->library.keep_loaded();
  Status status = process_plugins().init(*loaded.table, opened->address);
  if (!status.ok()) return status.with_context(loaded.file);
  Result<int> devices = count_devices(*loaded.table);
  if (!devices.ok()) {
    (void)loaded.table->finalize();
    return devices.status().with_context(loaded.file);
  }
  loaded.devices = *devices;
  SLUICE_LOG(kInfo, "plugin", "file {} table v{} name {} devices {}", loaded.file,
             opened->description.version, loaded.table->name(), loaded.devices);
  return loaded;
}

void keep_for_plugin(std::shared_ptr<void> memory) { process_plugins().keep(std::move(memory)); }

Status plugin_error(const PluginTable& table, std::string_view call, ResultCode code,
                    StatusCode when_broken) {
  const bool broken = code == ResultCode::kSystemError || code == ResultCode::kRemoteError;
  return {broken ? when_broken : StatusCode::kSystem,
          fmt::format("{} of plugin {} says {}{}", call, table.name(), to_string(code),
                      plugin_warning_clause())};
}

}  // namespace sluice
