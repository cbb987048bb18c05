#include "src/gpu/cuda_gpu.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <utility>
#include <vector>

#include "src/base/check.h"
#include "src/base/log.h"
#include "src/gpu/checksum_queue.h"
#include "src/gpu/copy_lanes.h"
#include "src/gpu/fatbins.h"

namespace sluice {
namespace {

// How often a pending ticket is asked about before the streams are: one that has stopped never
// writes its flag, and launches that wait for an SM are noticed.
constexpr std::uint32_t kPatientTests = 512;

// A ticket tells the kind of work and its number among those of its kind.
enum class Kind : std::uint64_t { kUnpack, kPack, kChecksum };
constexpr std::uint64_t kKinds = 3;

constexpr std::size_t kHugePage = 2 << 20;

constexpr std::size_t in_huge_pages(std::size_t bytes) {
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

constexpr std::uint64_t ticket_of(Kind kind, std::uint64_t number) {
  return number * kKinds + static_cast<std::uint64_t>(kind);
}

class CudaGpu final : public Gpu {
 public:
  CudaGpu(CudaDriver driver, const CudaGpuOptions& options)
      : options_(options),
        cuda_{.driver = std::move(driver), .clock = clock_},
        unpacks_(std::make_unique<CopyLanes>(cuda_, options.sms, options.unpack)),
        packs_(std::make_unique<CopyLanes>(cuda_, options.sms, options.pack)) {}
  ~CudaGpu() override;
  Status open();

  [[nodiscard]] const std::string& description() const override { return description_; }
  std::uint64_t unpack(std::span<const Unpack> batch) override;
  std::uint64_t pack(std::span<const Piece> pieces) override;
  std::uint64_t checksum(std::span<const Checksum> batch) override;
  GpuAnswer test(std::uint64_t ticket) override;
  [[nodiscard]] Status failure() const override { return cuda_.failure; }
  Result<GpuMemory> allocate_pinned(std::size_t bytes) override;
  Result<GpuMemory> allocate_device(std::size_t bytes) override;
  [[nodiscard]] Status check_device(std::span<const std::byte> range) const override;
  Status read_device(std::span<std::byte> into, const void* from) override;

 private:
  Status describe();
  void find_out_about_lingering();
  bool load(const unsigned char* fatbin, const char* what);
  bool find_kernel(const char* name, CUfunction& kernel);
  template <typename Queue>
  GpuAnswer answer(Queue& queue, std::uint64_t number);
  [[nodiscard]] Status check_address(const std::byte* address) const;
  GpuMemory allocate_huge(std::size_t bytes);

  const CudaGpuOptions options_;
  const SystemClock clock_;
  CudaContext cuda_;
  CUdevice device_ = 0;
  bool retained_ = false;
  std::vector<CUmodule> modules_;
  std::string description_;
  std::unique_ptr<CopyLanes> unpacks_;
  std::unique_ptr<CopyLanes> packs_;
  std::unique_ptr<ChecksumQueue> checksums_;  // From the first on: most engines have none.
  std::uint32_t pending_tests_ = 0;
};

Status CudaGpu::describe() {
  std::array<char, 128> name{};
  std::array<char, 32> pci{};
  int version = 0;
  int writes_flags = 0;
  const CudaDriver& driver = cuda_.driver;
  const bool good =
      cuda_.good(driver.cuDeviceGetName(name.data(), name.size(), device_), "naming the GPU") &&
      cuda_.good(driver.cuDeviceGetPCIBusId(pci.data(), pci.size(), device_), "its address") &&
      cuda_.good(driver.cuDriverGetVersion(&version), "the driver's version") &&
      cuda_.good(driver.cuDeviceGetAttribute(
                     &writes_flags, CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS, device_),
                 "an attribute");
  if (!good) return cuda_.failure;
  cuda_.writes_flags = writes_flags != 0;
  description_ = fmt::format("GPU {} {} {}, driver {}.{}", options_.index, name.data(), pci.data(),
                             version / 1000, version % 1000 / 10);
  return {};
}

// One launch that unpacks and one that packs, both at the same time: none before sm_90, or too few
// on a part of a GPU.
void CudaGpu::find_out_about_lingering() {
  if (options_.linger == 0) return;
  const LaunchShape shape = LaunchShape::lingering(options_.sms);
  int clusters = 0;
  const CUresult result = cuda_.driver.cuOccupancyMaxActiveClusters(
      &clusters, cuda_.copy_pieces_lingering, &shape.config);
  if (result == CUDA_SUCCESS && clusters >= 2) {
    cuda_.linger = options_.linger;
  } else {
    SLUICE_LOG(kWarning, "gpu", "{}: kernels do not linger, it has no place for two clusters of {}",
               description_, shape.config.gridDimX);
  }
}

Status CudaGpu::open() {
  const CudaDriver& driver = cuda_.driver;
  int count = 0;
  if (!cuda_.good(driver.cuDeviceGetCount(&count), "counting GPUs")) return cuda_.failure;
  if (options_.index >= static_cast<std::uint32_t>(count)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("gpu {}: the driver shows {} GPUs, from 0 on", options_.index, count)};
  }
  if (!cuda_.good(driver.cuDeviceGet(&device_, static_cast<int>(options_.index)), "the GPU")) {
    return cuda_.failure;
  }
  Status status = describe();
  if (!status.ok()) return status;
  // The primary context: the one that the runtime API, PyTorch and NCCL use.
  retained_ = cuda_.good(driver.cuDevicePrimaryCtxRetain(&cuda_.context, device_), "its context");
  if (!retained_) return cuda_.failure;
  const CurrentContext current(driver, cuda_.context);
  const bool good = load(kCopyPiecesFatbin, "the kernels of copies") &&
                    find_kernel("copy_pieces", cuda_.copy_pieces) &&
                    find_kernel("copy_pieces_lingering", cuda_.copy_pieces_lingering) &&
                    load(kChecksumPiecesFatbin, "the kernel of checksums") &&
                    find_kernel("checksum_pieces", cuda_.checksum_pieces) && unpacks_->open() &&
                    packs_->open();
  if (!good) return cuda_.failure;
  find_out_about_lingering();
  SLUICE_LOG(kInfo, "gpu", "{}", description_);
  return {};
}

bool CudaGpu::load(const unsigned char* fatbin, const char* what) {
  CUmodule module = nullptr;
  if (!cuda_.good(cuda_.driver.cuModuleLoadData(&module, fatbin), what)) return false;
  modules_.push_back(module);
  return true;
}

// Of what was loaded last.
bool CudaGpu::find_kernel(const char* name, CUfunction& kernel) {
  return cuda_.good(cuda_.driver.cuModuleGetFunction(&kernel, modules_.back(), name), name);
}

CudaGpu::~CudaGpu() {
  if (!retained_) return;
  {
    const CurrentContext current(cuda_.driver, cuda_.context);
    unpacks_.reset();
    packs_.reset();
    checksums_.reset();
    for (CUmodule module : modules_) cuda_.driver.cuModuleUnload(module);
  }
  cuda_.driver.cuDevicePrimaryCtxRelease(device_);
}

std::uint64_t CudaGpu::unpack(std::span<const Unpack> batch) {
  SLUICE_CHECK(!batch.empty(), "unpack {}", unpacks_->last());
  const CurrentContext current(cuda_.driver, cuda_.context);
  for (const Unpack& chunk : batch) {
    for (const Fragment& f : chunk.fragments) {
      unpacks_->add(chunk.pool.data() + f.pool_offset,
                    chunk.destination.data() + f.destination_offset, f.length);
    }
  }
  return ticket_of(Kind::kUnpack, unpacks_->finish());
}

std::uint64_t CudaGpu::pack(std::span<const Piece> pieces) {
  SLUICE_CHECK(!pieces.empty(), "pack {}", packs_->last());
  const CurrentContext current(cuda_.driver, cuda_.context);
  for (const Piece& piece : pieces) packs_->add(piece.from, piece.to, piece.length);
  return ticket_of(Kind::kPack, packs_->finish());
}

std::uint64_t CudaGpu::checksum(std::span<const Checksum> batch) {
  SLUICE_CHECK(!batch.empty(), "after {}", checksums_ == nullptr ? 0 : checksums_->last());
  const CurrentContext current(cuda_.driver, cuda_.context);
  if (checksums_ == nullptr) {
    auto opened = std::make_unique<ChecksumQueue>(cuda_, options_.sms);
    if (!opened->open()) return ticket_of(Kind::kChecksum, 1);  // Which has failed.
    checksums_ = std::move(opened);
  }
  for (const Checksum& each : batch) checksums_->add(each);
  return ticket_of(Kind::kChecksum, checksums_->finish());
}

template <typename Queue>
GpuAnswer CudaGpu::answer(Queue& queue, std::uint64_t number) {
  SLUICE_CHECK(number >= 1 && number <= queue.last(), "ticket {} of {}", number, queue.last());
  // What was put on a stream behind a call that failed may finish all the same.
  if (!cuda_.failure.ok()) return GpuAnswer::kFailed;
  if (queue.done(number)) return GpuAnswer::kDone;
  if (++pending_tests_ % kPatientTests == 0) {
    const CurrentContext current(cuda_.driver, cuda_.context);
    queue.check();
  }
  return cuda_.failure.ok() ? GpuAnswer::kPending : GpuAnswer::kFailed;
}

GpuAnswer CudaGpu::test(std::uint64_t ticket) {
  const std::uint64_t number = ticket / kKinds;
  switch (static_cast<Kind>(ticket % kKinds)) {
    case Kind::kUnpack:
      return answer(*unpacks_, number);
    case Kind::kPack:
      return answer(*packs_, number);
    case Kind::kChecksum:
      break;
  }
  return checksums_ == nullptr ? GpuAnswer::kFailed : answer(*checksums_, number);
}

// Pinned memory in huge pages, which the driver's own is not in: threads that copy from or to it
// miss the TLB less often. Empty if the driver does not take it.
GpuMemory CudaGpu::allocate_huge(std::size_t bytes) {
  const std::size_t length = in_huge_pages(bytes);
  void* const mapped = ::mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return {};
  // What stands out on either side of whole pages goes back.
  auto* const first = static_cast<std::byte*>(mapped);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(first) % kHugePage;
  std::byte* const base = first + before;
  if (before > 0) ::munmap(first, before);
  ::munmap(base + length, kHugePage - before);
  ::madvise(base, length, MADV_HUGEPAGE);
  const CUresult result = cuda_.driver.cuMemHostRegister(
      base, length, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
  if (result != CUDA_SUCCESS) {
    ::munmap(base, length);
    return {};
  }
  return {{base, bytes}, [this](std::span<std::byte> range) {
            const CurrentContext mine(cuda_.driver, cuda_.context);
            cuda_.driver.cuMemHostUnregister(range.data());
            ::munmap(range.data(), in_huge_pages(range.size()));
          }};
}

Result<GpuMemory> CudaGpu::allocate_pinned(std::size_t bytes) {
  if (bytes == 0) return GpuMemory();
  const CurrentContext current(cuda_.driver, cuda_.context);
  if (bytes >= kHugePage) {
    GpuMemory huge = allocate_huge(bytes);
    if (!huge.bytes().empty()) return huge;
  }
  void* base = nullptr;
  const CUresult result = cuda_.driver.cuMemHostAlloc(
      &base, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
  if (result != CUDA_SUCCESS) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("{} bytes of pinned memory: {}", bytes,
                              cuda_.driver.status(result, "allocating").message()));
  }
  return GpuMemory({static_cast<std::byte*>(base), bytes}, [this](std::span<std::byte> range) {
    const CurrentContext mine(cuda_.driver, cuda_.context);
    cuda_.driver.cuMemFreeHost(range.data());
  });
}

Result<GpuMemory> CudaGpu::allocate_device(std::size_t bytes) {
  if (bytes == 0) return GpuMemory();
  const CurrentContext current(cuda_.driver, cuda_.context);
  CUdeviceptr base = 0;
  const CUresult result = cuda_.driver.cuMemAlloc(&base, bytes);
  if (result != CUDA_SUCCESS) {
    return Status(StatusCode::kUnavailable,
                  fmt::format("{} bytes of GPU memory: {}", bytes,
                              cuda_.driver.status(result, "allocating").message()));
  }
  return GpuMemory({reinterpret_cast<std::byte*>(base), bytes}, [this](std::span<std::byte> range) {
    const CurrentContext mine(cuda_.driver, cuda_.context);
    cuda_.driver.cuMemFree(reinterpret_cast<CUdeviceptr>(range.data()));
  });
}

Status CudaGpu::check_address(const std::byte* address) const {
  const auto pointer = reinterpret_cast<CUdeviceptr>(address);
  CUmemorytype type{};
  int ordinal = -1;
  const CUresult result =
      cuda_.driver.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer);
  if (result != CUDA_SUCCESS || type != CU_MEMORYTYPE_DEVICE) {
    return {StatusCode::kInvalidArgument, fmt::format("address {} is host memory, not memory of {}",
                                                      fmt::ptr(address), description_)};
  }
  cuda_.driver.cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, pointer);
  if (ordinal != static_cast<int>(options_.index)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("address {} is memory of GPU {}, this engine has {}", fmt::ptr(address),
                        ordinal, description_)};
  }
  return {};
}

// Both ends are asked about, not the allocation: a range may be mapped from several.
Status CudaGpu::check_device(std::span<const std::byte> range) const {
  if (range.empty()) return {};
  const CurrentContext current(cuda_.driver, cuda_.context);
  Status status = check_address(&range.front());
  return status.ok() ? check_address(&range.back()) : status;
}

Status CudaGpu::read_device(std::span<std::byte> into, const void* from) {
  if (into.empty()) return {};
  const CurrentContext current(cuda_.driver, cuda_.context);
  return cuda_.driver.status(
      cuda_.driver.cuMemcpy(reinterpret_cast<CUdeviceptr>(into.data()),
                            reinterpret_cast<CUdeviceptr>(from), into.size()),
      "reading GPU memory");
}

}  // namespace

Result<std::unique_ptr<Gpu>> open_cuda_gpu(const CudaGpuOptions& options) {
  auto driver = CudaDriver::load();
  if (!driver.ok()) return driver.status();
  auto gpu = std::make_unique<CudaGpu>(driver.take(), options);
  Status status = gpu->open();
  if (!status.ok()) return status;
  return std::unique_ptr<Gpu>(std::move(gpu));
}

std::uint32_t count_cuda_gpus() {
  auto driver = CudaDriver::load();
  int count = 0;
  if (driver.ok()) driver->cuDeviceGetCount(&count);
  return static_cast<std::uint32_t>(count);
}

Result<std::uint32_t> current_cuda_gpu() {
  auto driver = CudaDriver::load();
  if (!driver.ok()) return driver.status();
  CUdevice current = 0;
  int count = 0;
  driver->cuDeviceGetCount(&count);
  if (driver->cuCtxGetDevice(&current) == CUDA_SUCCESS) {
    for (int i = 0; i < count; ++i) {
      CUdevice device = 0;
      const bool known = driver->cuDeviceGet(&device, i) == CUDA_SUCCESS;
      if (known && device == current) return static_cast<std::uint32_t>(i);
    }
  }
  return Status(StatusCode::kUnavailable, "no GPU is current on this thread");
}

// The context stays retained: whoever has it current must not lose it.
Status make_cuda_gpu_current(std::uint32_t index) {
  const auto current = current_cuda_gpu();
  if (current.ok() && *current == index) return {};
  auto driver = CudaDriver::load();
  if (!driver.ok()) return driver.status();
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUresult result = driver->cuDeviceGet(&device, static_cast<int>(index));
  if (result == CUDA_SUCCESS) result = driver->cuDevicePrimaryCtxRetain(&context, device);
  if (result == CUDA_SUCCESS) result = driver->cuCtxSetCurrent(context);
  return driver->status(result, "making the GPU current");
}

std::string describe_cuda() {
  auto driver = CudaDriver::load();
  if (!driver.ok()) return std::string(driver.status().message());
  int version = 0;
  int count = 0;
  driver->cuDriverGetVersion(&version);
  driver->cuDeviceGetCount(&count);
  std::string text =
      fmt::format("CUDA driver {}.{}, {} GPUs", version / 1000, version % 1000 / 10, count);
  for (int i = 0; i < count; ++i) {
    std::array<char, 128> name{};
    CUdevice device = 0;
    driver->cuDeviceGet(&device, i);
    driver->cuDeviceGetName(name.data(), name.size(), device);
    text += fmt::format("{} {}", i == 0 ? ":" : ",", name.data());
  }
  return text;
}

}  // namespace sluice
