#include "tools/perf/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::perf {
namespace {

constexpr std::size_t kHugePage = 2u << 20;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kPiece = 64u << 20;

}  // namespace

MemoryChoice choose_memory(int gpu) {
  if (gpu < 0) return {};
  return {Memory::kHost, fmt::format("gpu {}: no CUDA device here; measuring host memory", gpu)};
}

const char* to_string(Memory kind) { return kind == Memory::kHost ? "host" : "cuda"; }

Result<Buffer> Buffer::allocate(std::size_t bytes, Memory kind,
                                const std::function<Status()>& meanwhile) {
  if (kind != Memory::kHost) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("no {} memory on this machine", to_string(kind)));
  }
  const std::size_t unit = bytes < kHugePage ? kPage : kHugePage;
  const std::size_t length = (bytes + unit - 1) / unit * unit;
  void* base = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("cannot allocate {} bytes: {}", bytes, std::strerror(errno)));
  }
  // Refused where the kernel has no huge pages: slower by a few percent, no error.
  ::madvise(base, length, MADV_HUGEPAGE);
  Buffer buffer(std::span(static_cast<std::byte*>(base), length), kind);
  for (std::size_t at = 0; at < length; at += kPage) {
    buffer.bytes_[at] = std::byte{1};
    if (meanwhile && at % kPiece == 0) {
      if (Status status = meanwhile(); !status.ok()) return status;
    }
  }
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), kind_(other.kind_) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(kind_, other.kind_);
  return *this;
}

Buffer::~Buffer() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace sluice::perf
