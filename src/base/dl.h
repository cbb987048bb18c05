// Owner of a shared library that was opened at run time.
#pragma once

#include <string>
#include <utility>

#include "sluice/status.h"

namespace sluice {

// Closed when destroyed, unless keep_loaded() was called. Move only.
class DynamicLibrary {
 public:
  // dlopen() with RTLD_NOW | RTLD_LOCAL: everything is resolved now or never, and its symbols stay
  // out of the way of everybody else's. `file` with a slash is a path, without one the loader
  // searches. kNotFound with the loader's own words when it cannot be opened.
  static Result<DynamicLibrary> open(const std::string& file);
  // The library if something else has loaded it already, under the name in its DT_SONAME.
  // kNotFound otherwise.
  static Result<DynamicLibrary> open_if_loaded(const std::string& soname);

  DynamicLibrary(DynamicLibrary&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  DynamicLibrary& operator=(DynamicLibrary&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  DynamicLibrary(const DynamicLibrary&) = delete;
  DynamicLibrary& operator=(const DynamicLibrary&) = delete;
  ~DynamicLibrary();

  // The address of a symbol, nullptr if there is none. Valid while the library is loaded.
  [[nodiscard]] void* symbol(const char* name) const;
  // From now on the library stays loaded until the process ends: for one that has threads of its
  // own, or that cannot be initialised a second time.
  void keep_loaded() { handle_ = nullptr; }

 private:
  explicit DynamicLibrary(void* handle) : handle_(handle) {}
  void* handle_;
};

// The file that a symbol or other static object comes from; "" if it is in none.
[[nodiscard]] std::string file_of_symbol(const void* address);

}  // namespace sluice
