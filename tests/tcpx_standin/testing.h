// What the tests of the stand-ins share: the library, loaded once, and what its answers come to.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/net/plugin/abi.h"
#include "tests/tcpx_standin/standin_counters.h"

namespace sluice::standin {

// One variable of the environment while this lives.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    if (const char* before = std::getenv(name_.c_str())) before_ = before;
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Variable() {
    if (before_.empty()) {
      ::unsetenv(name_.c_str());
    } else {
      ::setenv(name_.c_str(), before_.c_str(), 1);
    }
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  std::string name_;
  std::string before_;
};

struct WithFault : Variable {
  explicit WithFault(const std::string& value) : Variable("SLUICE_STANDIN_FAULT", value) {}
};

// Polls until `done`; false after 100 s.
[[nodiscard]] bool eventually(const std::function<bool()>& done);
// Polls a thousand times with pauses: false as soon as it is `done`. For what must not happen.
[[nodiscard]] bool never(const std::function<bool()>& done);

[[nodiscard]] SluiceStandinCounters counters(void* library);

// Bytes that tell where they belong.
[[nodiscard]] std::byte pattern_at(std::size_t position, unsigned seed);

// Memory at the start of a page, as a CUDA registration wants it.
class Pages {
 public:
  explicit Pages(std::size_t bytes);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  void fill(unsigned seed) const;
  // The first byte that is not the pattern's; `bytes` when all are.
  [[nodiscard]] std::size_t matches(unsigned seed, std::size_t bytes) const;

 private:
  std::byte* data_;
  std::size_t bytes_;
};

}  // namespace sluice::standin
