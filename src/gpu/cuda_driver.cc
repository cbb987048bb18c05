#include "src/gpu/cuda_driver.h"

#include <fmt/format.h>

#include <string>

#include "src/base/dl.h"

namespace sluice {
namespace {

// After the preprocessor has replaced a name by that of its version: cuMemAlloc, cuMemAlloc_v2.
#define SLUICE_TEXT_OF(name) #name
#define SLUICE_TEXT(name) SLUICE_TEXT_OF(name)

template <typename Function>
bool find(const DynamicLibrary& library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(library.symbol(name));
  return function != nullptr;
}

}  // namespace

Result<CudaDriver> CudaDriver::load() {
  auto library = DynamicLibrary::open("libcuda.so.1");
  if (!library.ok()) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("no CUDA driver: {}", library.status().message()));
  }
  CudaDriver driver;
  const char* missing = nullptr;
#define SLUICE_FIND(name) \
  if (!find(*library, SLUICE_TEXT(name), driver.name)) missing = SLUICE_TEXT(name);
  SLUICE_CUDA_FUNCTIONS(SLUICE_FIND)
#undef SLUICE_FIND
  if (missing != nullptr) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("the CUDA driver is too old: it has no {}", missing));
  }
  const CUresult result = driver.cuInit(0);
  if (result != CUDA_SUCCESS) {
    return Status(StatusCode::kUnavailable,
                  std::string(driver.status(result, "no CUDA device").message()));
  }
  // It has threads of its own and cannot be unloaded.
  library->keep_loaded();
  return driver;
}

Status CudaDriver::status(CUresult result, std::string_view what) const {
  if (result == CUDA_SUCCESS) return {};
  const char* name = nullptr;
  const char* text = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS) name = "unknown CUDA error";
  if (cuGetErrorString(result, &text) != CUDA_SUCCESS) text = "no description";
  return {StatusCode::kSystem,
          fmt::format("{}: {} {} ({})", what, name, static_cast<int>(result), text)};
}

}  // namespace sluice
