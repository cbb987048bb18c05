#include "src/base/dl.h"

#include <dlfcn.h>

namespace sluice {
namespace {

Status not_found(const std::string& file) {
  const char* reason = ::dlerror();
  return {StatusCode::kNotFound, reason != nullptr ? reason : file + ": cannot be opened"};
}

}  // namespace

Result<DynamicLibrary> DynamicLibrary::open(const std::string& file) {
  void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return not_found(file);
  return DynamicLibrary(handle);
}

Result<DynamicLibrary> DynamicLibrary::open_if_loaded(const std::string& soname) {
  void* handle = ::dlopen(soname.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (handle == nullptr) return Status(StatusCode::kNotFound, soname + ": not loaded");
  return DynamicLibrary(handle);
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

void* DynamicLibrary::symbol(const char* name) const { return ::dlsym(handle_, name); }

std::string file_of_symbol(const void* address) {
  Dl_info info{};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "";
  return info.dli_fname;
}

}  // namespace sluice
