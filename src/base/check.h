// SLUICE_CHECK: our own bugs, found in release builds too. Never for a caller's or a peer's doing.
#pragma once

#include <fmt/format.h>

#include <string>

namespace sluice {
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& values);
}  // namespace sluice

// SLUICE_CHECK(a < b, "a {} b {}", a, b) aborts with place, condition and values.
#define SLUICE_CHECK(condition, ...)                                                      \
  do {                                                                                    \
    if (!(condition)) [[unlikely]] {                                                      \
      ::sluice::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
    }                                                                                     \
  } while (false)
