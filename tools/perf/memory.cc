#include "tools/perf/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "src/gpu/cuda_gpu.h"

namespace sluice::perf {
namespace {

constexpr std::size_t kHugePage = 2u << 20;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kPiece = 64u << 20;

// One copy, now. `on_host` is ordinary memory, which the GPU does not reach: through pinned.
Status copy_now(Gpu& gpu, std::span<std::byte> on_gpu, std::span<std::byte> on_host, bool out) {
  Result<GpuMemory> pinned = gpu.allocate_pinned(on_host.size());
  if (!pinned.ok()) return pinned.status();
  const std::span<std::byte> staging = pinned->bytes();
  if (!out) std::memcpy(staging.data(), on_host.data(), on_host.size());
  const Piece piece = out ? Piece{on_gpu.data(), staging.data(), staging.size()}
                          : Piece{staging.data(), on_gpu.data(), staging.size()};
  const std::uint64_t ticket = gpu.pack({&piece, 1});
  GpuAnswer answer = GpuAnswer::kPending;
  while (answer == GpuAnswer::kPending) answer = gpu.test(ticket);
  if (answer == GpuAnswer::kFailed) return gpu.failure();
  if (out) std::memcpy(on_host.data(), staging.data(), on_host.size());
  return {};
}

}  // namespace

Result<Memory> choose_memory(int gpu) {
  if (gpu < 0) return Memory::kHost;
  const std::uint32_t there = count_cuda_gpus();
  if (static_cast<std::uint32_t>(gpu) < there) return Memory::kCuda;
  return Status(StatusCode::kUnavailable,
                fmt::format("gpu {}: {}", gpu,
                            there == 0 ? "no CUDA device here"
                                       : fmt::format("legal are 0 to {} here", there - 1)));
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

Result<Buffer> Buffer::allocate_on(Gpu& gpu, std::size_t bytes) {
  Result<GpuMemory> memory = gpu.allocate_device(std::max(bytes, kPage));
  if (!memory.ok()) return memory.status();
  Buffer buffer(memory->bytes(), Memory::kCuda);
  buffer.gpu_ = &gpu;
  buffer.on_gpu_ = memory.take();
  return buffer;
}

Status Buffer::write(std::size_t offset, std::span<const std::byte> from) const {
  if (from.empty()) return {};
  const std::span<std::byte> to = bytes_.subspan(offset, from.size());
  if (gpu_ == nullptr) {
    std::memcpy(to.data(), from.data(), from.size());
    return {};
  }
  auto* source = const_cast<std::byte*>(from.data());  // Only read.
  return copy_now(*gpu_, to, {source, from.size()}, false);
}

Status Buffer::read(std::size_t offset, std::span<std::byte> into) const {
  if (into.empty()) return {};
  const std::span<std::byte> from = bytes_.subspan(offset, into.size());
  if (gpu_ != nullptr) return copy_now(*gpu_, from, into, true);
  std::memcpy(into.data(), from.data(), into.size());
  return {};
}

Buffer::Buffer(Buffer&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})),
      kind_(other.kind_),
      gpu_(other.gpu_),
      on_gpu_(std::move(other.on_gpu_)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(kind_, other.kind_);
  std::swap(gpu_, other.gpu_);
  on_gpu_ = std::move(other.on_gpu_);  // A swap.
  return *this;
}

Buffer::~Buffer() {
  if (!bytes_.empty() && gpu_ == nullptr) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace sluice::perf
