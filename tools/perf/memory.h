// The memory that is measured. Host memory today; where another kind is allocated, it is here.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "sluice/engine.h"
#include "sluice/status.h"

namespace sluice::perf {

// Which memory a command works on, and why it is not what was asked ("" when it is).
struct MemoryChoice {
  Memory kind = Memory::kHost;
  std::string notice;
};

// For `--gpu N`; -1: not asked for a GPU.
[[nodiscard]] MemoryChoice choose_memory(int gpu);

// "host", as in JSON.
[[nodiscard]] const char* to_string(Memory kind);

// Owner of a region's memory: page-aligned, huge pages where the kernel has them, touched, so that
// no page fault is measured.
class Buffer {
 public:
  Buffer() = default;
  // kUnavailable: the kernel refuses so much. Touching gigabytes takes seconds: `meanwhile` is
  // called every 64 MiB, and what it says when not OK is the answer.
  static Result<Buffer> allocate(std::size_t bytes, Memory kind,
                                 const std::function<Status()>& meanwhile = {});

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] Memory kind() const { return kind_; }

 private:
  Buffer(std::span<std::byte> bytes, Memory kind) : bytes_(bytes), kind_(kind) {}
  std::span<std::byte> bytes_;
  Memory kind_ = Memory::kHost;
};

}  // namespace sluice::perf
