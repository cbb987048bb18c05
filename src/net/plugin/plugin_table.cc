#include "src/net/plugin/plugin_table.h"

#include <fmt/format.h>

#include "src/net/plugin/plugin_adapter.h"

namespace sluice {
namespace {

template <int kVersion>
Result<std::unique_ptr<PluginTable>> adapt(const void* table) {
  const auto& typed = *static_cast<const typename PluginAbi<kVersion>::Table*>(table);
  if (const char* slot = missing_slot<kVersion>(typed); slot != nullptr) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{}: its table v{} has no {}",
                              typed.name == nullptr ? "unnamed" : typed.name, kVersion, slot));
  }
  return std::unique_ptr<PluginTable>(new PluginAdapter<kVersion>(typed));
}

}  // namespace

const char* plugin_symbol(int version) {
  switch (version) {
    case 5:
      return PluginAbi<5>::kSymbol;
    case 6:
      return PluginAbi<6>::kSymbol;
    case 7:
      return PluginAbi<7>::kSymbol;
    case 8:
      return PluginAbi<8>::kSymbol;
    case 9:
      return PluginAbi<9>::kSymbol;
    case 10:
      return PluginAbi<10>::kSymbol;
    case 11:
      return PluginAbi<11>::kSymbol;
    case 12:
      return PluginAbi<12>::kSymbol;
    default:
      SLUICE_CHECK(false, "version {}", version);
  }
}

Result<std::unique_ptr<PluginTable>> adapt_plugin_table(int version, const void* table) {
  switch (version) {
    case 5:
      return adapt<5>(table);
    case 6:
      return adapt<6>(table);
    case 7:
      return adapt<7>(table);
    case 8:
      return adapt<8>(table);
    case 9:
      return adapt<9>(table);
    case 10:
      return adapt<10>(table);
    case 11:
      return adapt<11>(table);
    case 12:
      return adapt<12>(table);
    default:
      SLUICE_CHECK(false, "version {}", version);
  }
}

std::string to_string(nccl_abi::ResultCode code) {
  static constexpr std::array<const char*, 8> kNames = {
      "Success",         "UnhandledCudaError", "SystemError", "InternalError",
      "InvalidArgument", "InvalidUsage",       "RemoteError", "InProgress"};
  const int number = static_cast<int>(code);
  const bool known = number >= 0 && number < static_cast<int>(kNames.size());
  return fmt::format("{} ({})", known ? kNames[static_cast<std::size_t>(number)] : "unknown result",
                     number);
}

}  // namespace sluice
