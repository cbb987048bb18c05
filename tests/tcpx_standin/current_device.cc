#include "tests/tcpx_standin/current_device.h"

#include <dlfcn.h>

#include <cstdlib>

namespace sluice::standin {

int current_device() {
  if (const char* played = std::getenv("SLUICE_STANDIN_CURRENT_DEVICE"); played != nullptr) {
    return std::atoi(played);
  }
  void* const driver = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  if (driver == nullptr) return 0;
  int device = 0;
  auto get = reinterpret_cast<int (*)(int*)>(::dlsym(driver, "cuCtxGetDevice"));
  if (get != nullptr && get(&device) != 0) device = 0;
  ::dlclose(driver);
  return device;
}

}  // namespace sluice::standin
