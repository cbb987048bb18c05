#include "tests/nccl_plugin/nccl_api.h"

#include <dlfcn.h>

#include <cstdio>

#include "src/net/plugin/abi_v10.h"
#include "src/net/plugin/abi_v11.h"
#include "src/net/plugin/abi_v12.h"
#include "src/net/plugin/abi_v6.h"
#include "src/net/plugin/abi_v7.h"
#include "src/net/plugin/abi_v8.h"
#include "src/net/plugin/abi_v9.h"

namespace sluice::nccl_test {
namespace {

using namespace nccl_abi;

template <int kVersion, typename Table, typename TableProperties>
class ApiOf final : public Api {
 public:
  explicit ApiOf(const Table* table) : table_(*table) {}

  [[nodiscard]] std::string name() const override { return table_.name; }

  ResultCode init(void** context, DebugLogger logger, ProfilerCallback profiler) override {
    CommConfig config{.traffic_class = kTrafficClassUndefined};
    if constexpr (kVersion >= 11) {
      return table_.init(context, 0x1234, &config, logger, profiler);
    } else if constexpr (kVersion == 10) {
      return table_.init(logger, profiler);
    } else {
      return table_.init(logger);
    }
  }

  ResultCode finalize(void* context) override {
    if constexpr (kVersion >= 11) return table_.finalize(context);
    return ResultCode::kSuccess;
  }

  ResultCode devices(int* count) override { return table_.devices(count); }

  ResultCode get_properties(int device, Properties& properties) override {
    TableProperties read;
    const ResultCode code = table_.get_properties(device, &read);
    if (code != ResultCode::kSuccess) return code;
    properties.name = read.name;
    properties.has_pci_path = read.pci_path != nullptr;
    properties.pointer_support = read.pointer_support;
    properties.speed = read.speed;
    properties.most_comms = read.most_comms;
    properties.most_receives = read.most_receives;
    if constexpr (kVersion >= 7) {
      properties.device_type = read.device_type;
      properties.device_version = read.device_version;
    }
    if constexpr (kVersion >= 8) properties.registration_is_global = read.registration_is_global;
    if constexpr (kVersion >= 9) {
      properties.members = read.virtual_device.count;
      properties.first_member = read.virtual_device.devices[0];
      properties.largest_message = static_cast<std::int64_t>(read.largest_message);
    }
    if constexpr (kVersion >= 11) properties.most_multi_request = read.most_multi_request;
    if constexpr (kVersion >= 12) properties.rail_id = read.rail_id;
    return code;
  }

  ResultCode listen([[maybe_unused]] void* context, int device, void* handle,
                    void** comm) override {
    if constexpr (kVersion >= 11) {
      return table_.listen(context, device, handle, comm);
    } else {
      return table_.listen(device, handle, comm);
    }
  }

  ResultCode connect([[maybe_unused]] void* context, int device, void* handle,
                     void** comm) override {
    [[maybe_unused]] DeviceHandle* none = nullptr;  // As NCCL gives it to who is no unpacker.
    if constexpr (kVersion >= 11) {
      return table_.connect(context, device, handle, comm, &none);
    } else if constexpr (kVersion == 10) {
      CommConfig config{.traffic_class = kTrafficClassUndefined};
      return table_.connect(device, &config, handle, comm, &none);
    } else if constexpr (kVersion >= 7) {
      return table_.connect(device, handle, comm, &none);
    } else {
      return table_.connect(device, handle, comm);
    }
  }

  ResultCode accept(void* listen_comm, void** comm) override {
    if constexpr (kVersion >= 7) {
      DeviceHandle* none = nullptr;
      return table_.accept(listen_comm, comm, &none);
    } else {
      return table_.accept(listen_comm, comm);
    }
  }

  ResultCode accept_unpacking([[maybe_unused]] void* listen_comm, [[maybe_unused]] void** comm,
                              [[maybe_unused]] DeviceHandle* handle) override {
    if constexpr (kVersion >= 7) {
      return table_.accept(listen_comm, comm, &handle);
    } else {
      return ResultCode::kInternalError;
    }
  }
  ResultCode consumed([[maybe_unused]] void* comm, [[maybe_unused]] void* request) override {
    if constexpr (kVersion >= 7) {
      return table_.irecv_consumed(comm, 1, request);
    } else {
      return ResultCode::kInternalError;
    }
  }

  ResultCode reg_mr(void* comm, void* data, std::size_t size, int type, void** mr) override {
    if constexpr (kVersion >= 8) {
      return table_.reg_mr(comm, data, size, type, mr);
    } else {
      return table_.reg_mr(comm, data, static_cast<int>(size), type, mr);
    }
  }
  ResultCode dereg_mr(void* comm, void* mr) override { return table_.dereg_mr(comm, mr); }

  ResultCode isend(void* comm, void* data, std::size_t size, void* mr,
                   [[maybe_unused]] void* parent, void** request) override {
    if constexpr (kVersion >= 10) {
      return table_.isend(comm, data, size, 7, mr, parent, request);
    } else if constexpr (kVersion == 9) {
      return table_.isend(comm, data, size, 7, mr, request);
    } else {
      return table_.isend(comm, data, static_cast<int>(size), 7, mr, request);
    }
  }

  ResultCode irecv(void* comm, int count, void** data, std::size_t* sizes, void** mrs,
                   [[maybe_unused]] void** parents, void** request) override {
    std::vector<int> tags(static_cast<std::size_t>(count), 7);
    if constexpr (kVersion >= 10) {
      return table_.irecv(comm, count, data, sizes, tags.data(), mrs, parents, request);
    } else if constexpr (kVersion == 9) {
      return table_.irecv(comm, count, data, sizes, tags.data(), mrs, request);
    } else {
      std::vector<int> short_sizes;
      for (int i = 0; i < count; ++i) short_sizes.push_back(static_cast<int>(sizes[i]));
      return table_.irecv(comm, count, data, short_sizes.data(), tags.data(), mrs, request);
    }
  }

  ResultCode iflush(void* comm, void* data, int size, void* mr, void** request) override {
    return table_.iflush(comm, 1, &data, &size, &mr, request);
  }
  ResultCode test(void* request, int* done, int* sizes) override {
    return table_.test(request, done, sizes);
  }
  ResultCode close_send(void* comm) override { return table_.close_send(comm); }
  ResultCode close_recv(void* comm) override { return table_.close_recv(comm); }
  ResultCode close_listen(void* comm) override { return table_.close_listen(comm); }

 private:
  const Table& table_;
};

template <int kVersion, typename Table, typename TableProperties>
std::unique_ptr<Api> open_as(void* library, const char* symbol) {
  const auto* table = static_cast<const Table*>(::dlsym(library, symbol));
  if (table == nullptr) return nullptr;
  return std::make_unique<ApiOf<kVersion, Table, TableProperties>>(table);
}

}  // namespace

std::unique_ptr<Api> Api::open(int version, Library which) {
  void* library = ::dlopen(which == Library::kBuilt ? SLUICE_NCCL_PLUGIN : SLUICE_POSING_PLUGIN,
                           RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", ::dlerror());
    return nullptr;
  }
  switch (version) {
    case 6:
      return open_as<6, v6::Table, v6::Properties>(library, v6::kSymbol);
    case 7:
      return open_as<7, v7::Table, v7::Properties>(library, v7::kSymbol);
    case 8:
      return open_as<8, v8::Table, v8::Properties>(library, v8::kSymbol);
    case 9:
      return open_as<9, v9::Table, v9::Properties>(library, v9::kSymbol);
    case 10:
      return open_as<10, v10::Table, v10::Properties>(library, v10::kSymbol);
    case 11:
      return open_as<11, v11::Table, v11::Properties>(library, v11::kSymbol);
    case 12:
      return open_as<12, v12::Table, v12::Properties>(library, v12::kSymbol);
    default:
      return nullptr;
  }
}

}  // namespace sluice::nccl_test
