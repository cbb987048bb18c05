// The memory that is measured, and its content: filled and checked from the host, wherever it is.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "sluice/engine.h"
#include "sluice/status.h"
#include "src/gpu/gpu.h"

namespace sluice::perf {

// For `--gpu N`; -1: not asked for a GPU. kUnavailable: there is no such GPU.
[[nodiscard]] Result<Memory> choose_memory(int gpu);

// "host", as in JSON.
[[nodiscard]] const char* to_string(Memory kind);

// Owner of a region's memory. Host memory is page-aligned, in huge pages where the kernel has them,
// and touched, so that no page fault is measured.
class Buffer {
 public:
  Buffer() = default;
  // Memory of `gpu`, which must outlive it.
  static Result<Buffer> allocate_on(Gpu& gpu, std::size_t bytes);
  // kUnavailable: the kernel refuses so much. Touching gigabytes takes seconds: `meanwhile` is
  // called every 64 MiB, and what it says when not OK is the answer.
  static Result<Buffer> allocate(std::size_t bytes, Memory kind,
                                 const std::function<Status()>& meanwhile = {});

  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  // Where it is; only host memory may be looked at.
  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] Memory kind() const { return kind_; }

  // Copies in and out of it, and waits for that.
  Status write(std::size_t offset, std::span<const std::byte> from) const;
  Status read(std::size_t offset, std::span<std::byte> into) const;

 private:
  Buffer(std::span<std::byte> bytes, Memory kind) : bytes_(bytes), kind_(kind) {}
  std::span<std::byte> bytes_;
  Memory kind_ = Memory::kHost;
  Gpu* gpu_ = nullptr;
  GpuMemory on_gpu_;  // Of kCuda: owns what bytes_ is.
};

}  // namespace sluice::perf
