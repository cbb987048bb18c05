// The plugin as NCCL sees it: the .so by dlopen, one table version, its calls with the argument
// lists of that version. Not the engine's own loader, which is under test elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/net/plugin/abi.h"
#include "tests/support/sanitized.h"

namespace sluice::nccl_test {

using nccl_abi::ResultCode;

// The properties that all versions have, and those of the later ones, -1 where a version has none.
struct Properties {
  std::string name;
  bool has_pci_path = false;
  int pointer_support = 0;
  int speed = 0;
  int most_comms = 0;
  int most_receives = 0;
  int device_type = -1;
  int device_version = -1;
  int registration_is_global = -1;
  int members = -1;
  int first_member = -1;
  std::int64_t largest_message = -1;
  int most_multi_request = -1;
  int rail_id = -1;
};

class Api {
 public:
  virtual ~Api() = default;

  // kPosing: the one with memory of the host for a GPU's.
  enum class Library : std::uint8_t { kBuilt, kPosing };
  // The library, open from now on. Null: it has no such table.
  static std::unique_ptr<Api> open(int version, Library library = Library::kBuilt);

  [[nodiscard]] virtual std::string name() const = 0;
  // Fills `context` in v11 and later.
  virtual ResultCode init(void** context, nccl_abi::DebugLogger logger,
                          nccl_abi::ProfilerCallback profiler) = 0;
  virtual ResultCode finalize(void* context) = 0;  // Nothing before v11.
  virtual ResultCode devices(int* count) = 0;
  virtual ResultCode get_properties(int device, Properties& properties) = 0;
  virtual ResultCode listen(void* context, int device, void* handle, void** comm) = 0;
  virtual ResultCode connect(void* context, int device, void* handle, void** comm) = 0;
  virtual ResultCode accept(void* listen_comm, void** comm) = 0;
  // v7 and later: as NCCL does it when the properties speak of UNPACK mode.
  virtual ResultCode accept_unpacking(void* listen_comm, void** comm,
                                      nccl_abi::DeviceHandle* handle) = 0;
  virtual ResultCode consumed(void* comm, void* request) = 0;
  virtual ResultCode reg_mr(void* comm, void* data, std::size_t size, int type, void** mr) = 0;
  virtual ResultCode dereg_mr(void* comm, void* mr) = 0;
  virtual ResultCode isend(void* comm, void* data, std::size_t size, void* mr, void* parent,
                           void** request) = 0;
  virtual ResultCode irecv(void* comm, int count, void** data, std::size_t* sizes, void** mrs,
                           void** parents, void** request) = 0;
  virtual ResultCode iflush(void* comm, void* data, int size, void* mr, void** request) = 0;
  virtual ResultCode test(void* request, int* done, int* sizes) = 0;
  virtual ResultCode close_send(void* comm) = 0;
  virtual ResultCode close_recv(void* comm) = 0;
  virtual ResultCode close_listen(void* comm) = 0;
};

inline constexpr int kOldest = 6;
inline constexpr int kNewest = 12;

// What the tests go through. What differs between the tables does not need a sanitizer each.
inline std::vector<int> tables_from(int oldest) {
  if (kSanitized) return {oldest, kNewest};
  std::vector<int> all;
  for (int version = oldest; version <= kNewest; ++version) all.push_back(version);
  return all;
}

}  // namespace sluice::nccl_test
